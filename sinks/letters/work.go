package letters

import (
	"context"
	"errors"

	"github.com/millrace/millrace/pipeline"
)

// Work does something with letters, one after another, and counts in done what became of them:
// what is refused stays, with the first refusal's words. Any other error ends it.
func Work(ctx context.Context, list []*Letter, do func(context.Context, *Letter) error, done *pipeline.LettersDone) error {
	for _, l := range list {
		var why *Refusal
		switch err := do(ctx, l); {
		case err == nil:
			done.Gone++
		case errors.As(err, &why):
			if done.Stay++; done.Why == "" {
				done.Why = err.Error()
			}
		default:
			return err
		}
	}
	return nil
}
