package pubsub

// SSEFrame is an event as it is sent.
func SSEFrame(name string, data []byte) []byte {
	return encodeMessage("ABCDEFGH", "1.2.3-4", name, data).text
}
