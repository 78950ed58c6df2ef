package main

import (
	"fmt"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	ocpp2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1"
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
	"github.com/lorenzodonini/ocpp-go/ws"
)

var profiles201 = []*ocpp.Profile{
	authorization.Profile, availability.Profile, data.Profile, diagnostics.Profile, display.Profile, firmware.Profile,
	iso15118.Profile, localauth.Profile, meter.Profile, provisioning.Profile, remotecontrol.Profile, reservation.Profile,
	security.Profile, smartcharging.Profile, tariffcost.Profile, transactions.Profile,
}

// v201 is the life of an OCPP 2.0.1 charging station: what it says of its own accord. Its answers are in v201_answers.go.
type v201 struct {
	*charger
	variables []variable
}

type variable struct {
	component types.Component
	variable  types.Variable
	value     string
}

func newV201(c *charger, id string, client ws.WsClient) (station, version) {
	connector := types.Component{Name: "Connector", EVSE: &types.EVSE{ID: 1, ConnectorID: ptr(1)}}
	variables := []variable{
		{types.Component{Name: "OCPPCommCtrlr"}, types.Variable{Name: "HeartbeatInterval"}, "300"},
		{types.Component{Name: "EVSE", EVSE: &types.EVSE{ID: 1}}, types.Variable{Name: "Power"}, "22000"},
		{connector, types.Variable{Name: "ConnectorType"}, "cType2"},
	}
	return ocpp2.NewChargingStation(id, c.endpoint, client), &v201{c, variables}
}

func (v *v201) status(evse int, word availability.ConnectorStatus) {
	v.call(availability.NewStatusNotificationRequest(types.NewDateTime(time.Now()), word, evse, 1))
}

func (v *v201) register(reason string) (string, int) {
	request := provisioning.NewBootNotificationRequest(provisioning.BootReason(reason), "Go-201", "Acme")
	request.ChargingStation.SerialNumber, request.ChargingStation.FirmwareVersion = "SN-0201", "2.0.0"
	answer := call[*provisioning.BootNotificationResponse](v.charger, request)
	expect(time.Since(answer.CurrentTime.Time).Abs() < time.Minute, "told the time %v", answer.CurrentTime)
	return string(answer.Status), answer.Interval
}

func (v *v201) heartbeat() ocpp.Request { return availability.NewHeartbeatRequest() }

func (v *v201) boot(reason string) {
	status, _ := v.register(reason)
	expect(status == "Accepted", "booted as %s", status)
	v.status(1, availability.ConnectorStatusAvailable)
	v.status(2, availability.ConnectorStatusAvailable)
}

func sampled201(wh int, context types.ReadingContext) types.MeterValue {
	sample := func(measurand types.Measurand, unit string, multiplier int, value float64) types.SampledValue {
		measure := &types.UnitOfMeasure{Unit: unit, Multiplier: &multiplier}
		return types.SampledValue{Value: value, Measurand: measurand, UnitOfMeasure: measure, Context: context}
	}
	register := sample(types.MeasurandEnergyActiveImportRegister, "Wh", 3, float64(wh)/1000)
	power := sample(types.MeasurandPowerActiveImport, "W", 0, 7360)
	values := []types.SampledValue{register, power, sample(types.MeasurandSoC, "Percent", 0, 54)}
	for _, phase := range []types.Phase{types.PhaseL1, types.PhaseL2, types.PhaseL3} {
		current := sample(types.MeasurandCurrentImport, "A", 0, 10.7)
		current.Phase = phase
		values = append(values, current)
	}
	return types.MeterValue{Timestamp: *types.NewDateTime(time.Now()), SampledValue: values}
}

type part func(request *transactions.TransactionEventRequest)

func (v *v201) event(
	t *transaction, kind transactions.TransactionEvent, why transactions.TriggerReason, state transactions.ChargingState,
	parts ...part,
) {
	info := transactions.Transaction{TransactionID: t.id, ChargingState: state}
	request := transactions.NewTransactionEventRequest(kind, types.NewDateTime(time.Now()), why, t.seqNo, info)
	request.Evse = &types.EVSE{ID: t.evse, ConnectorID: ptr(1)}
	request.Offline = v.isOffline
	t.seqNo++
	for _, change := range parts {
		change(request)
	}
	answer := call[*transactions.TransactionEventResponse](v.charger, request)
	if request.IDToken != nil {
		isAccepted := answer.IDTokenInfo != nil && answer.IDTokenInfo.Status == types.AuthorizationStatusAccepted
		expect(isAccepted, "%s was answered %v", kind, answer.IDTokenInfo)
	}
}

func (v *v201) reading(t *transaction, context types.ReadingContext) part {
	return func(request *transactions.TransactionEventRequest) {
		request.MeterValue = []types.MeterValue{sampled201(v.registerWh[t.evse], context)}
	}
}

func card(t *transaction) part {
	return func(request *transactions.TransactionEventRequest) {
		request.IDToken = &types.IdToken{IdToken: t.token, Type: types.IdTokenTypeISO14443}
	}
}

func (v *v201) begin(evse int, token string, remoteStart *int) *transaction {
	id := fmt.Sprintf("go-%d-%d", evse, time.Now().UnixNano())
	t := &transaction{id: id, evse: evse, token: token}
	v.transactions[id] = t
	first := v.reading(t, types.ReadingContextTransactionBegin)
	v.status(evse, availability.ConnectorStatusOccupied)
	connected := transactions.ChargingStateEVConnected
	if remoteStart == nil {
		v.event(t, transactions.TransactionEventStarted, transactions.TriggerReasonCablePluggedIn, connected, first)
		v.event(t, transactions.TransactionEventUpdated, transactions.TriggerReasonAuthorized, connected, card(t))
	} else {
		remote := func(request *transactions.TransactionEventRequest) {
			request.TransactionInfo.RemoteStartID = remoteStart
		}
		v.event(t, transactions.TransactionEventStarted, transactions.TriggerReasonRemoteStart, "", first, card(t), remote)
	}
	charging := transactions.ChargingStateCharging
	v.event(t, transactions.TransactionEventUpdated, transactions.TriggerReasonChargingStateChanged, charging)
	return t
}

func (v *v201) sample(t *transaction, wh int) {
	v.registerWh[t.evse] += wh
	why, reading := transactions.TriggerReasonMeterValuePeriodic, v.reading(t, types.ReadingContextSamplePeriodic)
	v.event(t, transactions.TransactionEventUpdated, why, transactions.ChargingStateCharging, reading)
}

var whyEnded = map[string]transactions.TriggerReason{
	"Local":          transactions.TriggerReasonStopAuthorized,
	"Remote":         transactions.TriggerReasonRemoteStop,
	"EVDisconnected": transactions.TriggerReasonEVCommunicationLost,
}

func (v *v201) end(t *transaction, reason string) {
	delete(v.transactions, t.id)
	stopped := func(request *transactions.TransactionEventRequest) {
		request.TransactionInfo.StoppedReason = transactions.Reason(reason)
	}
	parts := []part{stopped, v.reading(t, types.ReadingContextTransactionEnd)}
	if reason == "Local" {
		parts = append(parts, card(t))
	}
	idle := transactions.ChargingStateIdle
	v.event(t, transactions.TransactionEventEnded, whyEnded[reason], idle, parts...)
	v.status(t.evse, availability.ConnectorStatusAvailable)
}

func (v *v201) transfer(id string, content any) {
	request := data.NewDataTransferRequest("com.example")
	request.MessageID, request.Data = id, content
	v.call(request)
}

func (v *v201) authorise(token string, wanted types.AuthorizationStatus) {
	request := authorization.NewAuthorizationRequest(token, types.IdTokenTypeISO14443)
	answer := call[*authorization.AuthorizeResponse](v.charger, request)
	expect(answer.IdTokenInfo.Status == wanted, "%s is %s", token, answer.IdTokenInfo.Status)
}

func (v *v201) live() {
	v.call(v.heartbeat())
	v.authorise(v.config.Card, types.AuthorizationStatusAccepted)
	v.authorise("STRANGER", types.AuthorizationStatusUnknown)
	now := types.NewDateTime(time.Now())
	event := security.NewSecurityEventNotificationRequest("StartupOfTheDevice", now)
	event.TechInfo = "cold"
	v.call(event)
	v.call(firmware.NewFirmwareStatusNotificationRequest(firmware.FirmwareStatusIdle))
	v.call(diagnostics.NewLogStatusNotificationRequest(diagnostics.UploadLogStatusIdle, 1))
	v.transfer("tilt", map[string]int{"angle": 3})
	v.tryCall(security.NewSignCertificateRequest("-----BEGIN CERTIFICATE REQUEST-----"))
	v.call(meter.NewMeterValuesRequest(0, []types.MeterValue{sampled201(6000, types.ReadingContextSampleClock)}))
	v.call(diagnostics.NewNotifyEventRequest(now, 0, []diagnostics.EventData{{
		EventID: 1, Timestamp: now, Trigger: diagnostics.EventTriggerAlerting, ActualValue: "true", TechCode: "E17",
		EventNotificationType: diagnostics.EventHardWiredNotification,
		Component:             types.Component{Name: "Controller", EVSE: &types.EVSE{ID: 2}},
		Variable:              types.Variable{Name: "Problem"},
	}}))
	limit := smartcharging.ChargingLimit{ChargingLimitSource: types.ChargingLimitSourceEMS, IsGridCritical: ptr(false)}
	v.call(smartcharging.NewNotifyChargingLimitRequest(limit))
	v.call(smartcharging.NewClearedChargingLimitRequest(types.ChargingLimitSourceEMS))
	v.call(reservation.NewReservationStatusUpdateRequest(9, reservation.ReservationUpdateStatusExpired))
	t := v.begin(1, v.config.Card, nil)
	v.sample(t, 150)
	v.sample(t, 150)
	why, state := transactions.TriggerReasonChargingStateChanged, transactions.ChargingStateSuspendedEV
	v.event(t, transactions.TransactionEventUpdated, why, state)
	v.registerWh[1] += 120
	v.end(t, "EVDisconnected")
}
