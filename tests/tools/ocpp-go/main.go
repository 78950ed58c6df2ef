// A charge point made with ocpp-go, which checks every message against the rules written into its types.
//
// charger CONFIG: the configuration is JSON (url, station, key, protocols, card, scene, deflate, ca). It prints what
// happens as JSON lines, goes on when told by a line, and ends with 1 when anything it saw broke the protocol.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	"github.com/lorenzodonini/ocpp-go/ocppj"
)

type config struct {
	URL       string   `json:"url"`
	Station   string   `json:"station"`
	Key       *string  `json:"key"`
	Protocols []string `json:"protocols"`
	Card      string   `json:"card"`
	Scene     string   `json:"scene"`
	Deflate   *bool    `json:"deflate"`
	CA        string   `json:"ca"`
}

type line map[string]any

var (
	output     sync.Mutex
	isViolated bool
)

func say(what line) {
	output.Lock()
	defer output.Unlock()
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

func violation(format string, parts ...any) {
	say(line{"violation": fmt.Sprintf(format, parts...)})
	output.Lock()
	defer output.Unlock()
	isViolated = true
}

func expect(isSo bool, format string, parts ...any) {
	if !isSo {
		violation(format, parts...)
	}
}

// fail is a violation after which there is no sense in going on.
func fail(format string, parts ...any) {
	violation(format, parts...)
	os.Exit(1)
}

func ptr[T any](value T) *T { return &value }

var input = bufio.NewReader(os.Stdin)

// told waits for the next line, or the end of the input.
func told() { _, _ = input.ReadString('\n') }

// life: boots, charges once, then obeys.
func life(c *charger) {
	c.connect()
	c.version.boot("PowerUp")
	c.version.live()
	say(line{"event": "ready"})
	told()
	c.station.Stop()
}

// offline: loses its connection in the middle of a transaction, which ends meanwhile.
func offline(c *charger) {
	c.connect()
	c.version.boot("PowerUp")
	t := c.version.begin(1, c.config.Card, nil)
	c.version.sample(t, 100)
	say(line{"event": "ready"})
	<-c.lost
	c.isOffline = true
	c.registerWh[1] += 250
	c.version.end(t, "Local") // waits in ocpp-go's queue for the connection
	say(line{"event": "delivered"})
	told()
	c.station.Stop()
}

// refused: expects not to be let in.
func refused(c *charger) {
	code, err := c.tryConnect()
	expect(err != nil, "it was let in")
	say(line{"event": "refused", "code": code})
}

// held: is new here, and waits for a person to approve it.
func held(c *charger) {
	c.connect()
	status, intervalS := c.version.register("PowerUp")
	expect(status == "Pending", "registered as %s", status)
	expect(intervalS > 0 && intervalS <= 30, "asked to come again in %d s", intervalS)
	_, err := c.station.SendRequest(c.version.heartbeat())
	var refusal *ocpp.Error
	expect(errors.As(err, &refusal) && refusal.Code == ocppj.SecurityError, "its heartbeat got %v", err)
	say(line{"event": "held"})
	told()
	c.version.boot("PowerUp")
	c.call(c.version.heartbeat())
	say(line{"event": "ready"})
	told()
	c.station.Stop()
}

// large: says and hears much.
func large(c *charger) {
	c.connect()
	c.version.boot("PowerUp")
	for i := 0; i < 20; i++ {
		c.version.transfer("log", strings.Repeat("meter ok; ", 3000))
	}
	say(line{"event": "ready"})
	told()
	c.station.Stop()
}

func main() {
	var settings config
	if err := json.Unmarshal([]byte(os.Args[1]), &settings); err != nil {
		panic(err)
	}
	scenes := map[string]func(*charger){"life": life, "offline": offline, "refused": refused, "held": held, "large": large}
	scenes[settings.Scene](newCharger(settings))
	if isViolated {
		os.Exit(1)
	}
}
