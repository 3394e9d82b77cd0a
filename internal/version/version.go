package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Info is what "millrace version" prints.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Protocol is the RocketMQ version that the broker reports to its clients.
	Protocol string `json:"protocol"`
}

// Number is the released version, raised by hand with the CHANGELOG.
const Number = "0.1.0"

// Get reads the stamp that the Go tool left in the binary.
func Get() Info {
	info := Info{Version: Number, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Protocol: "RocketMQ 5.5.0"}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Commit = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	return info
}

// String is the stamp on one line.
func (i Info) String() string {
	dirty := ""
	if i.Modified {
		dirty = "+changes"
	}
	return fmt.Sprintf("millrace %s (%s%s, %s, %s; speaks %s)", i.Version, i.Commit, dirty, i.Go, i.Platform, i.Protocol)
}
