"""The functional blocks of OCPP: payloads in, events out, the same for every version that says them alike."""
