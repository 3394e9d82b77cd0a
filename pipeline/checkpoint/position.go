package checkpoint

import (
	"encoding/json"

	"github.com/millrace/millrace/pipeline/event"
)

// Position is event.Position with short names in JSON.
type Position event.Position

type positionJSON struct {
	Server  string         `json:"server,omitempty"`
	GTIDSet string         `json:"gtid,omitempty"`
	File    string         `json:"file,omitempty"`
	Pos     uint64         `json:"pos,omitempty"`
	Epoch   uint16         `json:"epoch,omitempty"`
	Counter uint64         `json:"counter,string,omitempty"`
	Done    event.Seq      `json:"done,string,omitempty"`
	DoneID  event.Identity `json:"done_id,omitzero"`
	Print   *printJSON     `json:"print,omitempty"`
	XA      string         `json:"xa,omitempty"`
	Tables  string         `json:"tables,omitempty"`
	Time    int64          `json:"time,string,omitempty"`
}

type printJSON struct {
	File     string `json:"file"`
	Pos      uint64 `json:"pos"`
	Type     uint8  `json:"type"`
	Time     uint32 `json:"time"`
	Size     uint32 `json:"size"`
	Checksum uint32 `json:"sum"`
}

// MarshalJSON writes the short form.
func (p Position) MarshalJSON() ([]byte, error) {
	j := positionJSON{
		Server: p.Server, GTIDSet: p.GTIDSet, File: p.File, Pos: p.Pos, Epoch: p.Epoch, Counter: p.Counter,
		Done: p.Done, DoneID: p.DoneID, XA: p.XA, Tables: p.Tables, Time: p.Time,
	}
	if p.Print != (event.Fingerprint{}) {
		print := printJSON(p.Print)
		j.Print = &print
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads it.
func (p *Position) UnmarshalJSON(b []byte) error {
	var j positionJSON
	if err := decodeStrictly(b, &j); err != nil {
		return err
	}
	*p = Position{
		Server: j.Server, GTIDSet: j.GTIDSet, File: j.File, Pos: j.Pos, Epoch: j.Epoch, Counter: j.Counter,
		Done: j.Done, DoneID: j.DoneID, XA: j.XA, Tables: j.Tables, Time: j.Time,
	}
	if j.Print != nil {
		p.Print = event.Fingerprint(*j.Print)
	}
	return nil
}
