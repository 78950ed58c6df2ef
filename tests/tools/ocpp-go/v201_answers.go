package main

import (
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/authorization"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/availability"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/data"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/diagnostics"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/display"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/firmware"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/iso15118"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/localauth"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/meter"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/provisioning"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/remotecontrol"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/reservation"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/security"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/smartcharging"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/tariffcost"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/transactions"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/types"
)

func (v *v201) answer(request ocpp.Request) (ocpp.Response, func()) {
	groups := []func(ocpp.Request) (ocpp.Response, func()){
		v.answerRemote, v.answerVariables, v.answerMonitoring, v.answerProfiles, v.answerFirmware, v.answerRest,
	}
	for _, answer := range groups {
		if response, after := answer(request); response != nil {
			return response, after
		}
	}
	return nil, nil
}

func (v *v201) trigger(message string, evse int) func() {
	return map[string]func(){
		"BootNotification": func() { v.boot("Triggered") },
		"Heartbeat":        func() { v.call(v.heartbeat()) },
		"MeterValues": func() {
			reading := sampled201(v.registerWh[evse], types.ReadingContextTrigger)
			v.call(meter.NewMeterValuesRequest(evse, []types.MeterValue{reading}))
		},
		"StatusNotification": func() { v.status(evse, availability.ConnectorStatusAvailable) },
	}[message]
}

func (v *v201) answerRemote(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *remotecontrol.RequestStartTransactionRequest:
		after := func() { v.sample(v.begin(*r.EvseID, r.IDToken.IdToken, &r.RemoteStartID), 200) }
		return remotecontrol.NewRequestStartTransactionResponse(remotecontrol.RequestStartStopStatusAccepted), after
	case *remotecontrol.RequestStopTransactionRequest:
		t, isKnown := v.transactions[r.TransactionID]
		if !isKnown {
			return remotecontrol.NewRequestStopTransactionResponse(remotecontrol.RequestStartStopStatusRejected), nil
		}
		after := func() { v.end(t, "Remote") }
		return remotecontrol.NewRequestStopTransactionResponse(remotecontrol.RequestStartStopStatusAccepted), after
	case *remotecontrol.TriggerMessageRequest:
		after := v.trigger(string(r.RequestedMessage), r.Evse.ID)
		return remotecontrol.NewTriggerMessageResponse(remotecontrol.TriggerMessageStatusAccepted), after
	case *remotecontrol.UnlockConnectorRequest:
		return remotecontrol.NewUnlockConnectorResponse(remotecontrol.UnlockStatusUnlocked), nil
	case *provisioning.ResetRequest:
		after := func() { v.restart(r.Type == provisioning.ResetTypeImmediate) }
		return provisioning.NewResetResponse(provisioning.ResetStatusAccepted), after
	case *availability.ChangeAvailabilityRequest:
		word := availability.ConnectorStatusUnavailable
		if r.OperationalStatus == availability.OperationalStatusOperative {
			word = availability.ConnectorStatusAvailable
		}
		after := func() { v.status(r.Evse.ID, word) }
		return availability.NewChangeAvailabilityResponse(availability.ChangeAvailabilityStatusAccepted), after
	case *reservation.ReserveNowRequest:
		expect(time.Now().Before(r.ExpiryDateTime.Time), "a reservation until %v", r.ExpiryDateTime)
		after := func() { v.status(*r.EvseID, availability.ConnectorStatusReserved) }
		return reservation.NewReserveNowResponse(reservation.ReserveNowStatusAccepted), after
	case *reservation.CancelReservationRequest:
		return reservation.NewCancelReservationResponse(reservation.CancelReservationStatusAccepted), nil
	}
	return nil, nil
}

func (v *v201) find(component types.Component, name types.Variable) *variable {
	for i := range v.variables {
		if v.variables[i].component.Name == component.Name && v.variables[i].variable.Name == name.Name {
			return &v.variables[i]
		}
	}
	return nil
}

// report sends the variables one by one; the last part says that nothing follows.
func (v *v201) report(requestID int) func() {
	return func() {
		for seqNo, one := range v.variables {
			part := provisioning.NewNotifyReportRequest(requestID, types.NewDateTime(time.Now()), seqNo)
			part.Tbc = seqNo < len(v.variables)-1
			value := provisioning.VariableAttribute{
				Type: types.AttributeActual, Value: one.value, Mutability: provisioning.MutabilityReadWrite,
			}
			part.ReportData = []provisioning.ReportData{{
				Component: one.component, Variable: one.variable,
				VariableAttribute:       []provisioning.VariableAttribute{value},
				VariableCharacteristics: &provisioning.VariableCharacteristics{DataType: provisioning.TypeString},
			}}
			v.call(part)
		}
	}
}

func (v *v201) answerVariables(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *provisioning.GetVariablesRequest:
		var results []provisioning.GetVariableResult
		for _, wanted := range r.GetVariableData {
			result := provisioning.GetVariableResult{Component: wanted.Component, Variable: wanted.Variable}
			result.AttributeStatus = provisioning.GetVariableStatusUnknownVariable
			if found := v.find(wanted.Component, wanted.Variable); found != nil {
				result.AttributeStatus, result.AttributeValue = provisioning.GetVariableStatusAccepted, found.value
			}
			results = append(results, result)
		}
		return provisioning.NewGetVariablesResponse(results), nil
	case *provisioning.SetVariablesRequest:
		var results []provisioning.SetVariableResult
		for _, wanted := range r.SetVariableData {
			result := provisioning.SetVariableResult{Component: wanted.Component, Variable: wanted.Variable}
			result.AttributeStatus = provisioning.SetVariableStatusUnknownVariable
			if found := v.find(wanted.Component, wanted.Variable); found != nil {
				found.value, result.AttributeStatus = wanted.AttributeValue, provisioning.SetVariableStatusAccepted
			}
			results = append(results, result)
		}
		return provisioning.NewSetVariablesResponse(results), nil
	case *provisioning.GetBaseReportRequest:
		return provisioning.NewGetBaseReportResponse(types.GenericDeviceModelStatusAccepted), v.report(r.RequestID)
	case *provisioning.GetReportRequest:
		return provisioning.NewGetReportResponse(types.GenericDeviceModelStatusAccepted), v.report(*r.RequestID)
	case *provisioning.SetNetworkProfileRequest:
		return provisioning.NewSetNetworkProfileResponse(provisioning.SetNetworkProfileStatusAccepted), nil
	}
	return nil, nil
}

func (v *v201) answerMonitoring(request ocpp.Request) (ocpp.Response, func()) {
	now := types.NewDateTime(time.Now())
	switch r := request.(type) {
	case *diagnostics.SetMonitoringBaseRequest:
		return diagnostics.NewSetMonitoringBaseResponse(types.GenericDeviceModelStatusAccepted), nil
	case *diagnostics.SetMonitoringLevelRequest:
		return diagnostics.NewSetMonitoringLevelResponse(types.GenericDeviceModelStatusAccepted), nil
	case *diagnostics.SetVariableMonitoringRequest:
		var results []diagnostics.SetMonitoringResult
		for i, wanted := range r.MonitoringData {
			results = append(results, diagnostics.SetMonitoringResult{
				ID: ptr(i + 1), Status: diagnostics.SetMonitoringStatusAccepted, Type: wanted.Type,
				Severity: wanted.Severity, Component: wanted.Component, Variable: wanted.Variable,
			})
		}
		return diagnostics.NewSetVariableMonitoringResponse(results), nil
	case *diagnostics.GetMonitoringReportRequest:
		one := v.variables[1]
		monitor := diagnostics.NewVariableMonitoring(1, false, 90, diagnostics.MonitorUpperThreshold, 3)
		monitored := []diagnostics.MonitoringData{{
			Component: one.component, Variable: one.variable,
			VariableMonitoring: []diagnostics.VariableMonitoring{monitor},
		}}
		after := v.callInTurn(diagnostics.NewNotifyMonitoringReportRequest(*r.RequestID, 0, now, monitored))
		return diagnostics.NewGetMonitoringReportResponse(types.GenericDeviceModelStatusAccepted), after
	case *diagnostics.ClearVariableMonitoringRequest:
		var results []diagnostics.ClearMonitoringResult
		for _, id := range r.ID {
			cleared := diagnostics.ClearMonitoringResult{ID: id, Status: diagnostics.ClearMonitoringStatusAccepted}
			results = append(results, cleared)
		}
		return diagnostics.NewClearVariableMonitoringResponse(results), nil
	case *diagnostics.CustomerInformationRequest:
		first := diagnostics.NewNotifyCustomerInformationRequest("card 1", 0, *now, r.RequestID)
		first.Tbc = true
		second := diagnostics.NewNotifyCustomerInformationRequest("card 2", 1, *now, r.RequestID)
		after := v.callInTurn(first, second)
		return diagnostics.NewCustomerInformationResponse(diagnostics.CustomerInformationStatusAccepted), after
	case *diagnostics.GetLogRequest:
		answer := diagnostics.NewGetLogResponse(diagnostics.LogStatusAccepted)
		answer.Filename = "diagnostics.zip"
		return answer, v.callInTurn(
			diagnostics.NewLogStatusNotificationRequest(diagnostics.UploadLogStatusUploading, r.RequestID),
			diagnostics.NewLogStatusNotificationRequest(diagnostics.UploadLogStatusUploaded, r.RequestID),
		)
	}
	return nil, nil
}

func (v *v201) answerProfiles(request ocpp.Request) (ocpp.Response, func()) {
	period := types.NewChargingSchedulePeriod(0, 16)
	schedule := types.NewChargingSchedule(1, types.ChargingRateUnitAmperes, period)
	switch r := request.(type) {
	case *smartcharging.SetChargingProfileRequest:
		return smartcharging.NewSetChargingProfileResponse(smartcharging.ChargingProfileStatusAccepted), nil
	case *smartcharging.ClearChargingProfileRequest:
		return smartcharging.NewClearChargingProfileResponse(smartcharging.ClearChargingProfileStatusAccepted), nil
	case *smartcharging.GetChargingProfilesRequest:
		profile := types.NewChargingProfile(
			1, 0, types.ChargingProfilePurposeTxDefaultProfile, types.ChargingProfileKindRelative,
			[]types.ChargingSchedule{*schedule},
		)
		report := smartcharging.NewReportChargingProfilesRequest(
			r.RequestID, types.ChargingLimitSourceCSO, *r.EvseID, []types.ChargingProfile{*profile},
		)
		return smartcharging.NewGetChargingProfilesResponse(smartcharging.GetChargingProfileStatusAccepted), v.callInTurn(report)
	case *smartcharging.GetCompositeScheduleRequest:
		accepted := smartcharging.GetCompositeScheduleStatusAccepted
		answer := smartcharging.NewGetCompositeScheduleResponse(accepted, r.EvseID)
		answer.Schedule = &smartcharging.CompositeSchedule{ChargingSchedule: schedule}
		return answer, nil
	}
	return nil, nil
}

func (v *v201) answerFirmware(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *firmware.UpdateFirmwareRequest:
		words := []firmware.FirmwareStatus{
			firmware.FirmwareStatusDownloading, firmware.FirmwareStatusDownloaded,
			firmware.FirmwareStatusInstalling, firmware.FirmwareStatusInstalled,
		}
		var requests []ocpp.Request
		for _, word := range words {
			status := firmware.NewFirmwareStatusNotificationRequest(word)
			status.RequestID = &r.RequestID
			requests = append(requests, status)
		}
		return firmware.NewUpdateFirmwareResponse(firmware.UpdateFirmwareStatusAccepted), v.callInTurn(requests...)
	case *firmware.PublishFirmwareRequest:
		words := []firmware.PublishFirmwareStatus{
			firmware.PublishFirmwareStatusDownloading, firmware.PublishFirmwareStatusDownloaded,
			firmware.PublishFirmwareStatusPublished,
		}
		var requests []ocpp.Request
		for _, word := range words {
			status := firmware.NewPublishFirmwareStatusNotificationRequest(word)
			status.RequestID = &r.RequestID
			if word == firmware.PublishFirmwareStatusPublished {
				status.Location = []string{"http://192.168.0.2/fw"}
			}
			requests = append(requests, status)
		}
		return firmware.NewPublishFirmwareResponse(types.GenericStatusAccepted), v.callInTurn(requests...)
	case *firmware.UnpublishFirmwareRequest:
		return firmware.NewUnpublishFirmwareResponse(firmware.UnpublishFirmwareStatusUnpublished), nil
	}
	return nil, nil
}

func (v *v201) answerRest(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *authorization.ClearCacheRequest:
		return authorization.NewClearCacheResponse(authorization.ClearCacheStatusAccepted), nil
	case *data.DataTransferRequest:
		answer := data.NewDataTransferResponse(data.DataTransferStatusAccepted)
		answer.Data = "pong"
		return answer, nil
	case *localauth.GetLocalListVersionRequest:
		return localauth.NewGetLocalListVersionResponse(v.listVersion), nil
	case *localauth.SendLocalListRequest:
		v.listVersion = r.VersionNumber
		return localauth.NewSendLocalListResponse(localauth.SendLocalListStatusAccepted), nil
	case *transactions.GetTransactionStatusRequest:
		return transactions.NewGetTransactionStatusResponse(false), nil
	case *tariffcost.CostUpdatedRequest:
		return tariffcost.NewCostUpdatedResponse(), nil
	case *display.SetDisplayMessageRequest:
		return display.NewSetDisplayMessageResponse(display.DisplayMessageStatusAccepted), nil
	case *display.ClearDisplayRequest:
		return display.NewClearDisplayResponse(display.ClearMessageStatusAccepted), nil
	case *display.GetDisplayMessagesRequest:
		shown := display.NewNotifyDisplayMessagesRequest(r.RequestID)
		content := types.MessageContent{Format: types.MessageFormatUTF8, Language: "en", Content: "Welcome"}
		shown.MessageInfo = []display.MessageInfo{{ID: 1, Priority: display.MessagePriorityNormalCycle, Message: content}}
		return display.NewGetDisplayMessagesResponse(display.MessageStatusAccepted), v.callInTurn(shown)
	case *iso15118.InstallCertificateRequest:
		return iso15118.NewInstallCertificateResponse(iso15118.CertificateStatusAccepted), nil
	case *iso15118.DeleteCertificateRequest:
		return iso15118.NewDeleteCertificateResponse(iso15118.DeleteCertificateStatusAccepted), nil
	case *iso15118.GetInstalledCertificateIdsRequest:
		answer := iso15118.NewGetInstalledCertificateIdsResponse(iso15118.GetInstalledCertificateStatusAccepted)
		hash := types.CertificateHashData{
			HashAlgorithm: types.SHA256, IssuerNameHash: "aa", IssuerKeyHash: "bb", SerialNumber: "01",
		}
		chain := types.CertificateHashDataChain{CertificateType: types.CSMSRootCertificate, CertificateHashData: hash}
		answer.CertificateHashDataChain = []types.CertificateHashDataChain{chain}
		return answer, nil
	case *security.CertificateSignedRequest:
		return security.NewCertificateSignedResponse(security.CertificateSignedStatusAccepted), nil
	}
	return nil, nil
}
