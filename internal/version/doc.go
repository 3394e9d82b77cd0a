// Package version is the build's stamp: what "millrace version" prints and what a broker
// tells of itself. Any package may ask; it changes nothing.
package version
