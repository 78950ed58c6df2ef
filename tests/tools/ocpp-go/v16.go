package main

import (
	"strconv"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	ocpp16 "github.com/lorenzodonini/ocpp-go/ocpp1.6"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/certificates"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/extendedtriggermessage"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/firmware"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/localauth"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/logging"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/remotetrigger"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/reservation"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/securefirmware"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/security"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/smartcharging"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	"github.com/lorenzodonini/ocpp-go/ws"
)

var profiles16 = []*ocpp.Profile{
	core.Profile, localauth.Profile, firmware.Profile, reservation.Profile, remotetrigger.Profile, smartcharging.Profile,
	logging.Profile, security.Profile, extendedtriggermessage.Profile, certificates.Profile, securefirmware.Profile,
}

// v16 is the life of an OCPP 1.6 charge point: what it says of its own accord, and how it answers.
type v16 struct {
	*charger
	settings map[string]string
}

func newV16(c *charger, id string, client ws.WsClient) (station, version) {
	settings := map[string]string{"HeartbeatInterval": "300", "NumberOfConnectors": "2"}
	return ocpp16.NewChargePoint(id, c.endpoint, client), &v16{c, settings}
}

func (v *v16) status(connector int, word core.ChargePointStatus, code core.ChargePointErrorCode) {
	request := core.NewStatusNotificationRequest(connector, code, word)
	request.Timestamp = types.Now()
	v.call(request)
}

func (v *v16) register(_ string) (string, int) {
	request := core.NewBootNotificationRequest("Go-16", "Acme")
	request.ChargePointSerialNumber, request.FirmwareVersion = "SN-0016", "1.0.0"
	answer := call[*core.BootNotificationConfirmation](v.charger, request)
	expect(time.Since(answer.CurrentTime.Time).Abs() < time.Minute, "told the time %v", answer.CurrentTime)
	return string(answer.Status), answer.Interval
}

func (v *v16) heartbeat() ocpp.Request { return core.NewHeartbeatRequest() }

func (v *v16) boot(reason string) {
	status, _ := v.register(reason)
	expect(status == "Accepted", "booted as %s", status)
	for connector := 0; connector <= 2; connector++ {
		v.status(connector, core.ChargePointStatusAvailable, core.NoError)
	}
}

func sampled16(wh int, context types.ReadingContext) types.MeterValue {
	sample := func(measurand types.Measurand, unit types.UnitOfMeasure, value string) types.SampledValue {
		return types.SampledValue{Value: value, Measurand: measurand, Unit: unit, Context: context}
	}
	register := sample(types.MeasurandEnergyActiveImportRegister, types.UnitOfMeasureWh, strconv.Itoa(wh))
	register.Location = types.LocationOutlet
	values := []types.SampledValue{register, sample(types.MeasurandPowerActiveImport, types.UnitOfMeasureW, "7360")}
	for _, phase := range []types.Phase{types.PhaseL1, types.PhaseL2, types.PhaseL3} {
		current := sample(types.MeasurandCurrentImport, types.UnitOfMeasureA, "10.7")
		current.Phase = phase
		values = append(values, current)
	}
	values = append(values, sample(types.MeasurandSoC, types.UnitOfMeasurePercent, "54"))
	return types.MeterValue{Timestamp: types.Now(), SampledValue: values}
}

func (v *v16) begin(connector int, token string, _ *int) *transaction {
	v.status(connector, core.ChargePointStatusPreparing, core.NoError)
	start := core.NewStartTransactionRequest(connector, token, v.registerWh[connector], types.Now())
	answer := call[*core.StartTransactionConfirmation](v.charger, start)
	status := answer.IdTagInfo.Status
	expect(status == types.AuthorizationStatusAccepted, "the start was answered %s", status)
	v.status(connector, core.ChargePointStatusCharging, core.NoError)
	first := sampled16(start.MeterStart, types.ReadingContextTransactionBegin)
	id := strconv.Itoa(answer.TransactionId)
	t := &transaction{id: id, number: answer.TransactionId, evse: connector, token: token, first: first}
	v.transactions[id] = t
	return t
}

func (v *v16) sample(t *transaction, wh int) {
	v.registerWh[t.evse] += wh
	reading := sampled16(v.registerWh[t.evse], types.ReadingContextSamplePeriodic)
	request := core.NewMeterValuesRequest(t.evse, []types.MeterValue{reading})
	request.TransactionId = &t.number
	v.call(request)
}

func (v *v16) end(t *transaction, reason string) {
	delete(v.transactions, t.id)
	last := sampled16(v.registerWh[t.evse], types.ReadingContextTransactionEnd)
	request := core.NewStopTransactionRequest(v.registerWh[t.evse], types.Now(), t.number)
	request.IdTag, request.Reason = t.token, core.Reason(reason)
	request.TransactionData = []types.MeterValue{t.first.(types.MeterValue), last}
	v.call(request)
	v.status(t.evse, core.ChargePointStatusFinishing, core.NoError)
	v.status(t.evse, core.ChargePointStatusAvailable, core.NoError)
}

func (v *v16) transfer(id string, data any) {
	request := core.NewDataTransferRequest("com.example")
	request.MessageId, request.Data = id, data
	v.call(request)
}

func (v *v16) authorise(token string, wanted types.AuthorizationStatus) {
	answer := call[*core.AuthorizeConfirmation](v.charger, core.NewAuthorizationRequest(token))
	expect(answer.IdTagInfo.Status == wanted, "%s is %s", token, answer.IdTagInfo.Status)
}

func (v *v16) live() {
	v.call(v.heartbeat())
	v.authorise(v.config.Card, types.AuthorizationStatusAccepted)
	v.authorise("STRANGER", types.AuthorizationStatusInvalid)
	event := security.NewSecurityEventNotificationRequest("StartupOfTheDevice", types.Now())
	event.TechInfo = "cold"
	v.call(event)
	v.call(firmware.NewFirmwareStatusNotificationRequest(firmware.FirmwareStatusInstalled))
	v.call(firmware.NewDiagnosticsStatusNotificationRequest(firmware.DiagnosticsStatusIdle))
	v.call(logging.NewLogStatusNotificationRequest(logging.UploadLogStatusIdle, 1))
	v.call(securefirmware.NewFirmwareStatusNotificationRequest(securefirmware.FirmwareStatusIdle))
	v.transfer("tilt", `{"angle":3}`)
	v.tryCall(security.NewSignCertificateRequest("-----BEGIN CERTIFICATE REQUEST-----"))
	whole := sampled16(6000, types.ReadingContextSampleClock)
	v.call(core.NewMeterValuesRequest(0, []types.MeterValue{whole}))
	v.status(2, core.ChargePointStatusFaulted, core.GroundFailure)
	v.status(2, core.ChargePointStatusAvailable, core.NoError)
	t := v.begin(1, v.config.Card, nil)
	v.sample(t, 150)
	v.sample(t, 150)
	v.status(1, core.ChargePointStatusSuspendedEV, core.NoError)
	v.registerWh[1] += 120
	v.end(t, "EVDisconnected")
}

func (v *v16) trigger(message string, connector *int) func() {
	at := 1
	if connector != nil {
		at = *connector
	}
	return map[string]func(){
		"BootNotification": func() { v.boot("") },
		"Heartbeat":        func() { v.call(v.heartbeat()) },
		"MeterValues": func() {
			reading := sampled16(v.registerWh[at], types.ReadingContextTrigger)
			v.call(core.NewMeterValuesRequest(at, []types.MeterValue{reading}))
		},
		"StatusNotification": func() { v.status(at, core.ChargePointStatusAvailable, core.NoError) },
	}[message]
}

func (v *v16) configuration(keys []string) *core.GetConfigurationConfirmation {
	answer := core.NewGetConfigurationConfirmation(nil)
	if len(keys) == 0 {
		keys = []string{"HeartbeatInterval", "NumberOfConnectors"}
	}
	for _, key := range keys {
		if value, isKnown := v.settings[key]; isKnown {
			answer.ConfigurationKey = append(answer.ConfigurationKey, core.ConfigurationKey{Key: key, Value: ptr(value)})
		} else {
			answer.UnknownKey = append(answer.UnknownKey, key)
		}
	}
	return answer
}

func (v *v16) answer(request ocpp.Request) (ocpp.Response, func()) {
	if response, after := v.answerCore(request); response != nil {
		return response, after
	}
	return v.answerMore(request)
}

func (v *v16) answerCore(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *core.ChangeAvailabilityRequest:
		word := core.ChargePointStatusUnavailable
		if r.Type == core.AvailabilityTypeOperative {
			word = core.ChargePointStatusAvailable
		}
		after := func() { v.status(r.ConnectorId, word, core.NoError) }
		return core.NewChangeAvailabilityConfirmation(core.AvailabilityStatusAccepted), after
	case *core.ChangeConfigurationRequest:
		if _, isKnown := v.settings[r.Key]; !isKnown {
			return core.NewChangeConfigurationConfirmation(core.ConfigurationStatusNotSupported), nil
		}
		v.settings[r.Key] = r.Value
		return core.NewChangeConfigurationConfirmation(core.ConfigurationStatusAccepted), nil
	case *core.ClearCacheRequest:
		return core.NewClearCacheConfirmation(core.ClearCacheStatusAccepted), nil
	case *core.DataTransferRequest:
		answer := core.NewDataTransferConfirmation(core.DataTransferStatusAccepted)
		answer.Data = "pong"
		return answer, nil
	case *core.GetConfigurationRequest:
		return v.configuration(r.Key), nil
	case *core.RemoteStartTransactionRequest:
		after := func() { v.sample(v.begin(*r.ConnectorId, r.IdTag, nil), 200) }
		return core.NewRemoteStartTransactionConfirmation(types.RemoteStartStopStatusAccepted), after
	case *core.RemoteStopTransactionRequest:
		t, isKnown := v.transactions[strconv.Itoa(r.TransactionId)]
		if !isKnown {
			return core.NewRemoteStopTransactionConfirmation(types.RemoteStartStopStatusRejected), nil
		}
		after := func() { v.end(t, "Remote") }
		return core.NewRemoteStopTransactionConfirmation(types.RemoteStartStopStatusAccepted), after
	case *core.ResetRequest:
		after := func() { v.restart(r.Type == core.ResetTypeHard) }
		return core.NewResetConfirmation(core.ResetStatusAccepted), after
	case *core.UnlockConnectorRequest:
		return core.NewUnlockConnectorConfirmation(core.UnlockStatusUnlocked), nil
	}
	return nil, nil
}

func (v *v16) answerMore(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *localauth.GetLocalListVersionRequest:
		return localauth.NewGetLocalListVersionConfirmation(v.listVersion), nil
	case *localauth.SendLocalListRequest:
		v.listVersion = r.ListVersion
		return localauth.NewSendLocalListConfirmation(localauth.UpdateStatusAccepted), nil
	case *firmware.GetDiagnosticsRequest:
		answer := firmware.NewGetDiagnosticsConfirmation()
		answer.FileName = "diagnostics.zip"
		return answer, v.callInTurn(
			firmware.NewDiagnosticsStatusNotificationRequest(firmware.DiagnosticsStatusUploading),
			firmware.NewDiagnosticsStatusNotificationRequest(firmware.DiagnosticsStatusUploaded),
		)
	case *firmware.UpdateFirmwareRequest:
		return firmware.NewUpdateFirmwareConfirmation(), v.callInTurn(
			firmware.NewFirmwareStatusNotificationRequest(firmware.FirmwareStatusDownloading),
			firmware.NewFirmwareStatusNotificationRequest(firmware.FirmwareStatusDownloaded),
			firmware.NewFirmwareStatusNotificationRequest(firmware.FirmwareStatusInstalling),
			firmware.NewFirmwareStatusNotificationRequest(firmware.FirmwareStatusInstalled),
		)
	case *smartcharging.SetChargingProfileRequest:
		return smartcharging.NewSetChargingProfileConfirmation(smartcharging.ChargingProfileStatusAccepted), nil
	case *smartcharging.ClearChargingProfileRequest:
		return smartcharging.NewClearChargingProfileConfirmation(smartcharging.ClearChargingProfileStatusAccepted), nil
	case *smartcharging.GetCompositeScheduleRequest:
		answer := smartcharging.NewGetCompositeScheduleConfirmation(smartcharging.GetCompositeScheduleStatusAccepted)
		period := types.NewChargingSchedulePeriod(0, 16)
		answer.ConnectorId, answer.ScheduleStart = &r.ConnectorId, types.Now()
		answer.ChargingSchedule = types.NewChargingSchedule(types.ChargingRateUnitAmperes, period)
		return answer, nil
	case *reservation.ReserveNowRequest:
		expect(time.Now().Before(r.ExpiryDate.Time), "a reservation until %v", r.ExpiryDate)
		after := func() { v.status(r.ConnectorId, core.ChargePointStatusReserved, core.NoError) }
		return reservation.NewReserveNowConfirmation(reservation.ReservationStatusAccepted), after
	case *reservation.CancelReservationRequest:
		return reservation.NewCancelReservationConfirmation(reservation.CancelReservationStatusAccepted), nil
	case *remotetrigger.TriggerMessageRequest:
		after := v.trigger(string(r.RequestedMessage), r.ConnectorId)
		return remotetrigger.NewTriggerMessageConfirmation(remotetrigger.TriggerMessageStatusAccepted), after
	}
	return v.answerSecurity(request)
}

func (v *v16) answerSecurity(request ocpp.Request) (ocpp.Response, func()) {
	switch r := request.(type) {
	case *extendedtriggermessage.ExtendedTriggerMessageRequest:
		after := v.trigger(string(r.RequestedMessage), r.ConnectorId)
		accepted := extendedtriggermessage.ExtendedTriggerMessageStatusAccepted
		return extendedtriggermessage.NewExtendedTriggerMessageResponse(accepted), after
	case *logging.GetLogRequest:
		answer := logging.NewGetLogResponse(logging.LogStatusAccepted)
		answer.Filename = "security.log"
		return answer, v.callInTurn(
			logging.NewLogStatusNotificationRequest(logging.UploadLogStatusUploading, r.RequestID),
			logging.NewLogStatusNotificationRequest(logging.UploadLogStatusUploaded, r.RequestID),
		)
	case *securefirmware.SignedUpdateFirmwareRequest:
		words := []securefirmware.FirmwareStatus{
			securefirmware.FirmwareStatusDownloading,
			securefirmware.FirmwareStatusSignatureVerified,
			securefirmware.FirmwareStatusInstalled,
		}
		var requests []ocpp.Request
		for _, word := range words {
			request := securefirmware.NewFirmwareStatusNotificationRequest(word)
			request.RequestID = &r.RequestID
			requests = append(requests, request)
		}
		accepted := securefirmware.UpdateFirmwareStatusAccepted
		return securefirmware.NewSignedUpdateFirmwareResponse(accepted), v.callInTurn(requests...)
	case *certificates.InstallCertificateRequest:
		return certificates.NewInstallCertificateResponse(certificates.CertificateStatusAccepted), nil
	case *certificates.DeleteCertificateRequest:
		return certificates.NewDeleteCertificateResponse(certificates.DeleteCertificateStatusAccepted), nil
	case *certificates.GetInstalledCertificateIdsRequest:
		answer := certificates.NewGetInstalledCertificateIdsResponse(certificates.GetInstalledCertificateStatusAccepted)
		answer.CertificateHashData = []types.CertificateHashData{{
			HashAlgorithm: types.SHA256, IssuerNameHash: "aa", IssuerKeyHash: "bb", SerialNumber: "01",
		}}
		return answer, nil
	case *security.CertificateSignedRequest:
		return security.NewCertificateSignedResponse(security.CertificateSignedStatusAccepted), nil
	}
	return nil, nil
}
