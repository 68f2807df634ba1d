package memory

import (
	"context"
	"sync"

	"agentapi/ports"
)

// Bulletin is a ports.Bulletin for a single server.
type Bulletin struct {
	mu        sync.Mutex
	followers map[*follower]bool
}

// follower is one who follows, and what it has not heard yet.
type follower struct {
	news map[string]bool
	wake chan struct{} // holds one while there are news
}

var _ ports.Bulletin = (*Bulletin)(nil)

// NewBulletin makes a Bulletin that nobody follows.
func NewBulletin() *Bulletin { return &Bulletin{followers: make(map[*follower]bool)} }

// Publish has all who follow the topic hear of it.
func (b *Bulletin) Publish(_ context.Context, topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.followers {
		f.news[topic] = true
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// Follow calls what stands under a topic when that was published.
func (b *Bulletin) Follow(ctx context.Context, heard map[string]func()) {
	f := &follower{news: make(map[string]bool), wake: make(chan struct{}, 1)}
	b.mu.Lock()
	b.followers[f] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.followers, f)
	}()
	for _, hear := range heard {
		hear()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		b.mu.Lock()
		news := f.news
		f.news = make(map[string]bool)
		b.mu.Unlock()
		for topic := range news {
			if hear := heard[topic]; hear != nil {
				hear()
			}
		}
	}
}
