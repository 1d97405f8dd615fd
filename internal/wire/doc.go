// Package wire encodes and decodes what the library stores in Redis: msgpack,
// behind a guard.
//
// Whoever can write to Redis chooses the bytes that [Unmarshal] gets, and the
// msgpack library trusts them: five bytes make it ask for gigabytes, and a few
// million nested arrays overflow the stack, which no recover catches. Unmarshal
// therefore scans first and then decodes through a reader that holds the decoder
// to what was scanned.
//
// # What the guard promises
//
// For any bytes, and any target whose types have no decoding methods of their
// own, Unmarshal returns; it does not panic, and it allocates no more than
//
//	64 KiB + n × (192 + 6 × s) bytes
//
// where n is the length of the input and s the size in memory of the largest
// type that the target is made of. The part that grows with s is the target's
// own: a one-byte nil is a whole element of a slice of structs. (The first use
// of a type also fills the msgpack library's tables for it, once.)
//
// It is an error if the input is not exactly one well-formed value ([Scan]), so
// empty input, JSON text and trailing bytes are errors; if its containers are
// nested more than 64 deep; if it is nil and the target is not something that
// can be nil or decodes itself; or if decoding panics.
//
// # What it does not promise
//
// The rest is as the msgpack library has it:
//
//   - An integer that overflows its field wraps: 300 is 44 in an int8, and -1 is
//     the largest value in a uint. A float target takes an integer, a string a
//     []byte, and inside a value nil is the zero value of anything.
//   - A map with the wrong fields is no error: unknown ones are skipped, missing
//     ones keep what the target had, as with encoding/json. Bytes of another
//     struct decode to a zero one, and so does an empty array. Who needs to know
//     stores a fingerprint of the type before the bytes.
//   - A number in an any comes back in the smallest type that holds it: int8,
//     uint8, int16 and so on. A map in an any must have string keys.
//   - A time.Time comes back as the same instant (Equal), to the nanosecond, in
//     the Local zone, the zero Time in UTC. Its zone is not stored.
//   - Methods of the target's types that decode (UnmarshalMsgpack, DecodeMsgpack,
//     UnmarshalBinary, UnmarshalText, ext types registered with the msgpack
//     library) are trusted with memory. The decoder that DecodeMsgpack gets is
//     guarded, but a decoder for an ext type must take its body with ReadFull.
//   - A struct with an embedded pointer to a struct costs a goroutine per type
//     that the msgpack library starts at the first decode and never ends.
package wire
