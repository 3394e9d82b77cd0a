package changes

import (
	"context"
	"fmt"
	"net/url"
	"path"
)

// checkFiles sees that the files that the log names are there. A target that was restored
// or lost files is found here, where it is opened, and not by a reader.
func (t *Table) checkFiles(ctx context.Context) error {
	snap := t.log.Snapshot()
	have := map[string]map[string]bool{}
	for _, p := range snap.Paths() {
		// Other programs may have packed files under names that are escaped in the log.
		if plain, err := url.PathUnescape(p); err == nil {
			p = plain
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := path.Dir(p)
		if have[dir] == nil {
			have[dir] = map[string]bool{}
			for info, err := range t.Store.List(ctx, path.Join(t.log.Table(), dir)+"/", "") {
				if err != nil {
					return err
				}
				have[dir][path.Base(info.Name)] = true
			}
		}
		if !have[dir][path.Base(p)] {
			return fmt.Errorf("%s names the file %s, which is not there: the target has lost data; restore it, or reset the pipeline's table so "+
				"that a new snapshot replaces it",
				t.shownLog(), p)
		}
	}
	return nil
}
