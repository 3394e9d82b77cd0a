package spec

import (
	"errors"

	"github.com/millrace/millrace/internal/config"
)

// Finding is a mistake in one key of a component.
type Finding struct {
	Key        string // dotted, relative to the component; "" = the whole
	Text       string
	Suggestion string
}

// Findings parts an error of a configuration's check into its mistakes: joined errors are one
// each, and a *config.KeyError names its key.
func Findings(err error) []Finding {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Finding
		for _, one := range joined.Unwrap() {
			all = append(all, Findings(one)...)
		}
		return all
	}
	var key *config.KeyError
	if errors.As(err, &key) {
		return []Finding{{Key: key.Key, Text: key.Text, Suggestion: key.Remedy}}
	}
	return []Finding{{Text: err.Error()}}
}
