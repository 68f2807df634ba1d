package ports

import "agentapi/domain/chat"

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Tokenizer knows how models count. It is safe for concurrent use.
type Tokenizer interface {
	// Of gives how a model, by its agent's id of it, counts the tokens of a text; nil:
	// that is not known. The first count may take a tenth of a second, all others some
	// microseconds for a KiB.
	Of(model string) chat.Count
}
