package message

import "testing"

// TestJavaHash: what Java's String.hashCode gives, also where a text is hashed in two pieces.
func TestJavaHash(t *testing.T) {
	for text, want := range map[string]int32{
		"": 0, "a": 97, "paid": 3433164, "k1": 3366, "polygenelubricants": -2147483648,
		"é": 233, "世界": 649718, "😀": 1772899, "x😀y": 58534910,
	} {
		if got := JavaHash(text); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
		for i := range text {
			if got := JavaHashOn(JavaHash(text[:i]), text[i:]); got != want {
				t.Errorf("%q and %q: %d, not %d", text[:i], text[i:], got, want)
			}
		}
	}
}
