package exec

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Cmd is one Redis command and, once [Client.Do] has returned, its reply. It
// is used once. Its arguments belong to exec from then on: a command whose
// caller has left may still be on its way.
type Cmd struct {
	key        string // its slot decides the node
	args       []any  // as written to the server
	room       [2]any // for them
	script     *Script
	form       form
	idempotent bool
	splits     bool

	reply
	node *node
}

// form is what a reply looks like.
type form uint8

const (
	anything form = iota
	text          // one bulk string
	texts         // a list of them
)

// reply is what an attempt brought.
type reply struct {
	str            string // a text
	val            any    // texts as []string, and anything
	err            error
	sent, received time.Time // of the attempt
}

// Get reads the string value of key. A value of another type may be an error or
// look like none, and the empty string may.
func Get(key string) *Cmd {
	c := new(Cmd)
	c.get(key)
	return c
}

// GetEach is a [Get] of each key.
func GetEach(keys []string) []*Cmd {
	cmds := make([]*Cmd, len(keys))
	all := make([]Cmd, len(keys)) // one allocation
	for i, key := range keys {
		cmds[i] = &all[i]
		cmds[i].get(key)
	}
	return cmds
}

// MGet reads the string values of keys, which are all on one server, see
// [Client.OneServer]. The empty string and values of other types look like none.
func MGet(keys []string) *Cmd {
	args := make([]any, 1, 1+len(keys))
	args[0] = "mget"
	for _, key := range keys {
		args = append(args, key)
	}
	return &Cmd{key: keys[0], args: args, form: texts, idempotent: true}
}

func (c *Cmd) get(key string) {
	c.key, c.room, c.form, c.idempotent = key, [2]any{"get", key}, text, true
	c.args = c.room[:]
}

// Command is any command on the slot of key; args begins with its name.
func Command(key string, args ...any) *Cmd {
	return &Cmd{key: key, args: args}
}

// Idempotent declares that executing the command twice does what executing it
// once does, so that exec may send it again after a lost reply.
func (c *Cmd) Idempotent() *Cmd {
	c.idempotent = true
	return c
}

// Splits declares that the caller can do without this multi-key command, with
// single-key ones: TRYAGAIN is then returned at once, see [IsTryAgain].
func (c *Cmd) Splits() *Cmd {
	c.splits = true
	return c
}

// Err is the command's error: nil, [redis.Nil], or an [*Error].
func (c *Cmd) Err() error { return c.err }

// Text is the reply to a [Get].
func (c *Cmd) Text() string { return c.str }

// Texts is the reply to an [MGet], in the order of the keys.
func (c *Cmd) Texts() []string {
	s, _ := c.val.([]string)
	return s
}

// Val is the reply to any other command, as go-redis decodes it.
func (c *Cmd) Val() any { return c.val }

// A Script is a Lua script, sent by its digest.
type Script struct {
	src, sha string
}

// NewScript makes a Script of Lua source.
func NewScript(src string) *Script {
	sum := sha1.Sum([]byte(src))
	return &Script{src: src, sha: hex.EncodeToString(sum[:])}
}

// Cmd is a call of the script. All keys must be in one slot.
func (s *Script) Cmd(keys []string, args ...any) *Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", s.sha, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	return &Cmd{key: keys[0], args: append(all, args...), script: s}
}

// once is a go-redis command that no client sends twice.
type once interface {
	redis.Cmder
	into(*reply)
}

type (
	onceText  struct{ *redis.StringCmd }
	onceTexts struct{ *redis.StringSliceCmd }
	onceAny   struct{ *redis.Cmd }
)

func (onceText) NoRetry() bool  { return true }
func (onceTexts) NoRetry() bool { return true }
func (onceAny) NoRetry() bool   { return true }

func (o onceText) into(r *reply) { r.str, r.err = o.Result() }
func (o onceAny) into(r *reply)  { r.val, r.err = o.Result() }

func (o onceTexts) into(r *reply) {
	values, err := o.Result()
	if err == nil && len(values) != len(o.Args())-1 {
		err = errReply
	}
	r.val, r.err = values, err
}

// attempt makes the go-redis command of one attempt: with the script's source
// rather than its digest if the node is known to lack it.
func (c *Cmd) attempt(ctx context.Context, withSource bool) once {
	args := c.args
	if withSource {
		args = append([]any{"eval", c.script.src}, args[2:]...)
	}
	var cmd once
	switch c.form {
	case text:
		cmd = onceText{redis.NewStringCmd(ctx, args...)}
	case texts:
		cmd = onceTexts{redis.NewStringSliceCmd(ctx, args...)}
	default:
		cmd = onceAny{redis.NewCmd(ctx, args...)}
	}
	cmd.SetStepCount(keyStep)
	return cmd
}

// keyStep is told to go-redis with every command. A cluster client would ask
// for it, by a COMMAND to a random node that may hang, and hold every other
// command until that is answered. It makes no use of it unless it is told to
// split commands over shards.
const keyStep = 1
