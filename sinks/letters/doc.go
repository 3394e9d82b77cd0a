// Package letters is what every sink must know of the changes that its target can't hold and
// that were put aside (on_error: dead_letter): which they are, what a later change of the same
// row does to them, and when there are too many.
//
// It is pure: no target, no clock. A sink stores Letters in its own form, in the step that
// moves the marks past them, and reads a Book back when it claims the table. In between it
// asks a Draft:
//
//	d := book.Begin()
//	err := d.Put(letter)          // ErrFull: the table stands as it would without
//	d.Applied(id, seq)            // the target has a change of that row
//	…                             // store d.Changes() with the marks
//	book = d.Book()
//
// Invariants: of a row with a key there is one letter at most, the newest change that the target
// could not hold, and none that is not newer than what the target was given; whatever is below
// the floor is no letter; a change that is given again after a crash makes the same letter.
package letters
