package config

// KeyError is a mistake in one key of a configuration; several are joined by errors.Join.
type KeyError struct {
	Key    string // dotted, relative to the configuration
	Text   string
	Remedy string // may be empty
}

func (e *KeyError) Error() string {
	if e.Remedy == "" {
		return e.Key + ": " + e.Text
	}
	return e.Key + ": " + e.Text + "; " + e.Remedy
}
