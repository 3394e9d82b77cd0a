package remoting

import (
	"errors"
	"fmt"
)

// Limits of a frame. The length field counts everything behind itself.
const (
	MaxFrame = 16 << 20
	// LengthLen is the width of the length field.
	LengthLen = 4
	// MaxHeader is what the header length has room for.
	MaxHeader = 1<<24 - 1
)

// Errors of the decoders and encoders; all wrap one of these.
var (
	ErrFrameTooLarge = errors.New("remoting: frame is too large")
	ErrBadFrame      = errors.New("remoting: bytes are no frame")
	ErrBadHeader     = errors.New("remoting: header is malformed")
)

// Serialization is the form of a header, the top byte of its length word.
type Serialization byte

const (
	SerializationJSON     Serialization = 0
	SerializationRocketMQ Serialization = 1
)

// Bits of Command.Flag.
const (
	FlagResponse int32 = 1
	FlagOneway   int32 = 2
)

// Version is a RocketMQ release as an ordinal of its MQVersion.
type Version = int

// Releases whose number something depends on.
const (
	V3_4_9 Version = 121
	V4_1_0 Version = 232 // from here on clients believe that SQL filters work
	V4_5_2 Version = 317
	V4_9_4 Version = 401 // from here on clients ask for standard JSON
	V5_3_1 Version = 475
	V5_3_3 Version = 479
	V5_5_0 Version = 513

	// CurrentVersion is what we say we are.
	CurrentVersion = V5_3_3
)

// Language is what a client is written in.
type Language uint8

const (
	LanguageJava Language = iota
	LanguageCPP
	LanguageDotNet
	LanguagePython
	LanguageDelphi
	LanguageErlang
	LanguageRuby
	LanguageOther
	LanguageHTTP
	LanguageGo
	LanguagePHP
	LanguageOMS
	LanguageRust
	LanguageNodeJS

	languages
)

var languageNames = [languages]string{"JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER",
	"HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS"}

// String is the name of the language in a JSON header.
func (l Language) String() string {
	if l < languages {
		return languageNames[l]
	}
	return languageNames[LanguageOther]
}

// languageOf is lenient: a language we never heard of is another one.
func languageOf(name []byte) Language {
	for i, n := range languageNames {
		if string(name) == n {
			return Language(i)
		}
	}
	return LanguageOther
}

// Command is one request or response.
type Command struct {
	Code          int
	Language      Language
	Version       Version
	Opaque        int32
	Flag          int32
	Remark        string
	Ext           ExtFields
	Body          []byte
	Serialization Serialization

	// Release, where it is set, gives Body's memory back to who lent it. It is called at
	// most once, by who has the command last, when nobody uses Body any more; not calling it
	// costs nothing but that memory's next use. It does not block.
	Release func()
}

// Done calls Release, if it is set, for the only time.
func (c *Command) Done() {
	if f := c.Release; f != nil {
		c.Release = nil
		f()
	}
}

// NewRequest makes a request of ours. Whoever sends it assigns the opaque.
func NewRequest(code int) *Command {
	return &Command{Code: code, Language: LanguageGo, Version: CurrentVersion}
}

// NewResponse makes an answer. Whoever sends it copies the opaque and the
// serialization of the request, see AnswerTo.
func NewResponse(code int, remark string) *Command {
	return &Command{Code: code, Language: LanguageGo, Version: CurrentVersion, Flag: FlagResponse, Remark: remark}
}

// AnswerTo makes c the answer to req: same opaque, same form of header.
func (c *Command) AnswerTo(req *Command) *Command {
	c.Opaque, c.Serialization = req.Opaque, req.Serialization
	c.Flag |= FlagResponse
	return c
}

// IsResponse tells answers from requests.
func (c *Command) IsResponse() bool { return c.Flag&FlagResponse != 0 }

// IsOneway tells requests that must not be answered.
func (c *Command) IsOneway() bool { return c.Flag&FlagOneway != 0 }

// String is for logs and tests: no field values, which may be secret.
func (c *Command) String() string {
	kind := "request"
	if c.IsResponse() {
		kind = "response"
	} else if c.IsOneway() {
		kind = "oneway request"
	}
	return fmt.Sprintf("%s code=%d opaque=%d body=%d", kind, c.Code, c.Opaque, len(c.Body))
}
