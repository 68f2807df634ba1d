package ports

import "context"

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Bulletin tells all servers that share it that something has changed, but not what:
// whoever hears of a topic looks again.
type Bulletin interface {
	// Publish has all who follow the topic hear of it, here too. What was to change has
	// changed by then. While the bulletin cannot be reached, the others hear of it once
	// it can, as long as this server runs.
	Publish(ctx context.Context, topic string)
	// Follow calls what stands under a topic when that was published, and whenever it
	// may have been: at the start, and after the bulletin could not be reached. Many
	// publications may be one call, which begins after the last of them, and within a
	// second while the bulletin can be reached. Calls come one after the other. It
	// returns when ctx ends.
	Follow(ctx context.Context, heard map[string]func())
}
