package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/lorenzodonini/ocpp-go/ocpp"
	"github.com/lorenzodonini/ocpp-go/ocppj"
	"github.com/lorenzodonini/ocpp-go/ws"
)

// version is the life of a charge point in the words of one version of OCPP.
type version interface {
	register(reason string) (status string, intervalS int)
	boot(reason string)
	heartbeat() ocpp.Request
	live()
	begin(evse int, token string, remoteStart *int) *transaction
	sample(t *transaction, wh int)
	end(t *transaction, reason string)
	transfer(id string, data any)
	// answer a call of the server; what is to be done afterwards may be nil.
	answer(request ocpp.Request) (ocpp.Response, func())
}

type transaction struct {
	id     string
	number int // of 1.6
	evse   int
	token  string
	seqNo  int
	first  any // the first reading, of 1.6
}

// station is what ChargePoint of 1.6 and ChargingStation of 2.0.1 have in common.
type station interface {
	Start(url string) error
	Stop()
	SendRequest(request ocpp.Request) (ocpp.Response, error)
}

type charger struct {
	config       config
	registerWh   map[int]int
	transactions map[string]*transaction
	listVersion  int
	isOffline    bool
	lost         chan struct{} // the connection broke
	back         chan struct{} // and was made again
	version      version
	station      station
	endpoint     *ocppj.Client
	wire         *wire
}

func newCharger(settings config) *charger {
	return &charger{
		config:       settings,
		registerWh:   map[int]int{1: 1000, 2: 5000},
		transactions: map[string]*transaction{},
		lost:         make(chan struct{}, 8),
		back:         make(chan struct{}, 8),
	}
}

func (c *charger) connect() {
	if _, err := c.tryConnect(); err != nil {
		fail("it was not let in: %v", err)
	}
}

func (c *charger) tryConnect() (code int, err error) {
	client := ws.NewClient()
	if c.config.CA != "" {
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM([]byte(c.config.CA))
		client = ws.NewTLSClient(&tls.Config{RootCAs: trusted})
	}
	if c.config.Key != nil {
		client.SetBasicAuth(c.config.Station, *c.config.Key)
	}
	timeouts := ws.NewClientTimeoutConfig()
	timeouts.RetryBackOffWaitMinimum = 100 * time.Millisecond
	timeouts.RetryBackOffRandomRange = 0
	client.SetTimeoutConfig(timeouts)
	client.AddOption(func(dialer *websocket.Dialer) {
		dialer.EnableCompression = c.config.Deflate == nil || *c.config.Deflate
		dialer.NetDialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
			c.wire = &wire{Conn: connection}
			return c.wire, err
		}
	})
	id := url.PathEscape(c.config.Station)
	dispatcher := ocppj.NewDefaultClientDispatcher(ocppj.NewFIFOClientQueue(0))
	if c.config.Protocols[0] == "ocpp1.6" {
		c.endpoint = ocppj.NewClient(id, client, dispatcher, nil, profiles16...)
		c.station, c.version = newV16(c, id, client)
	} else {
		c.endpoint = ocppj.NewClient(id, client, dispatcher, nil, profiles201...)
		c.station, c.version = newV201(c, id, client)
	}
	c.listen()
	err = c.station.Start(c.config.URL)
	var refusal ws.HttpConnectionError
	if errors.As(err, &refusal) {
		return refusal.HttpCode, err
	}
	return 0, err
}

func (c *charger) listen() {
	c.endpoint.SetRequestHandler(func(request ocpp.Request, id string, action string) {
		say(line{"asked": action, "payload": request})
		response, after := c.version.answer(request)
		if response == nil {
			violation("%s is not known to this charger", action)
			return
		}
		written := c.wire.writes.Load()
		if err := c.endpoint.SendResponse(id, response); err != nil {
			violation("our answer to %s: %v", action, err)
		}
		for c.wire.writes.Load() == written {
			time.Sleep(time.Millisecond)
		}
		if after != nil {
			go after()
		}
	})
	c.endpoint.SetInvalidMessageHook(func(err *ocpp.Error, raw string, fields []any) *ocpp.Error {
		fail("%s: %s %s", raw, err.Code, err.Description) // ocpp-go would wait for another answer
		return nil
	})
	c.endpoint.SetOnDisconnectedHandler(func(err error) {
		say(line{"event": "disconnect"})
		c.lost <- struct{}{}
	})
	c.endpoint.SetOnReconnectedHandler(func() {
		c.isOffline = false
		c.back <- struct{}{}
	})
}

// call sends a request and waits for its answer.
func call[T ocpp.Response](c *charger, request ocpp.Request) T {
	response, err := c.station.SendRequest(request)
	if err != nil {
		fail("%s: %v", request.GetFeatureName(), err)
	}
	say(line{"said": request.GetFeatureName(), "answer": response})
	return response.(T)
}

func (c *charger) call(request ocpp.Request) { call[ocpp.Response](c, request) }

// tryCall is for what a server may leave out: an answer or a clean refusal, both are well-behaved.
func (c *charger) tryCall(request ocpp.Request) {
	response, err := c.station.SendRequest(request)
	if err == nil {
		say(line{"said": request.GetFeatureName(), "answer": response})
		return
	}
	var refusal *ocpp.Error
	isClean := errors.As(err, &refusal) && (refusal.Code == ocppj.NotSupported || refusal.Code == ocppj.NotImplemented)
	expect(isClean, "%s: %v", request.GetFeatureName(), err)
	say(line{"said": request.GetFeatureName(), "refused": refusal.Code, "detail": refusal.Description})
}

func (c *charger) callInTurn(requests ...ocpp.Request) func() {
	return func() {
		for _, request := range requests {
			c.call(request)
		}
	}
}

func (c *charger) restart(isHard bool) {
	reason := "ScheduledReset"
	if isHard {
		reason = "RemoteReset"
		_ = c.wire.Close() // as when the power goes; ocpp-go connects again by itself
		<-c.back
	} else {
		c.station.Stop()
		c.connect()
	}
	c.version.boot(reason)
	say(line{"event": "restarted"})
}

// wire is a connection that tells how the handshake was answered and how much was written.
type wire struct {
	net.Conn
	head   bytes.Buffer
	isOpen bool
	writes atomic.Int64
}

func (w *wire) Read(buffer []byte) (int, error) {
	n, err := w.Conn.Read(buffer)
	if !w.isOpen && n > 0 {
		w.head.Write(buffer[:n])
		if bytes.Contains(w.head.Bytes(), []byte("\r\n\r\n")) {
			w.isOpen = true
			w.announce()
		}
	}
	return n, err
}

func (w *wire) announce() {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(w.head.Bytes())), nil)
	if err != nil {
		fail("the handshake's answer: %v", err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		header := response.Header
		extension, _, _ := bytes.Cut([]byte(header.Get("Sec-WebSocket-Extensions")), []byte(";"))
		say(line{"event": "open", "protocol": header.Get("Sec-WebSocket-Protocol"), "extensions": string(extension)})
	}
}

func (w *wire) Write(data []byte) (int, error) {
	n, err := w.Conn.Write(data)
	w.writes.Add(1)
	return n, err
}
