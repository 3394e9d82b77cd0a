// Package config reads the YAML (and, for brokers, properties) files that people write,
// strictly: every mistake is reported at once as file:line:col with a suggestion, and
// nothing is guessed. It knows no configuration of its own; the packages that are
// configured own their structs and hand pointers in.
//
// Values may hold ${NAME} (environment) and ${file:/path} (content of a file, without
// its trailing newline). Layers are merged by koanf: flag > environment > file >
// default. A struct's keys are its yaml tags.
package config
