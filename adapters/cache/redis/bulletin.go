package redis

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"agentapi/ports"
)

// lookEvery is the time between two looks at the topics. With two calls that take as
// long as they may, one to publish and one to look, it is less than a second.
const lookEvery = 300 * time.Millisecond

// topicLasts is how long a topic's key stays; then its followers hear of it once more.
const topicLasts = time.Hour

// Bulletin is a ports.Bulletin. A topic is a key with a random value. To publish is
// to remove the key: a server is told so even where memory has run out. Who finds
// none, or another value than the last time, has heard, and puts a new one where there
// is none. So nothing is missed that happened between two looks, whatever becomes of
// the keys, and no connection of its own must be watched.
type Bulletin struct {
	*Client

	mu   sync.Mutex
	owed map[string]bool // what is published and Redis has not been told
}

var _ ports.Bulletin = (*Bulletin)(nil)

// NewBulletin makes a Bulletin.
func NewBulletin(c *Client) *Bulletin { return &Bulletin{Client: c, owed: make(map[string]bool)} }

// topic is a topic's key. A cluster keeps all of them in one place.
func (b *Bulletin) topic(name string) string { return b.prefix + "{bulletin}:" + name }

// Publish has all who follow the topic hear of it.
func (b *Bulletin) Publish(ctx context.Context, topic string) {
	b.owe(topic)
	b.tell(ctx)
}

func (b *Bulletin) owe(topics ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		b.owed[t] = true
	}
}

// tell tells Redis what it has not been told.
func (b *Bulletin) tell(ctx context.Context) {
	b.mu.Lock()
	topics := slices.Collect(maps.Keys(b.owed))
	clear(b.owed)
	b.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	if b.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		return conn.Do(ctx, conn.B().Del().Key(b.keys(topics)...).Build()).Error()
	}) != nil {
		b.owe(topics...)
	}
}

func (b *Bulletin) keys(topics []string) []string {
	keys := make([]string, len(topics))
	for i, t := range topics {
		keys[i] = b.topic(t)
	}
	return keys
}

// Follow calls what stands under a topic when that was published.
func (b *Bulletin) Follow(ctx context.Context, heard map[string]func()) {
	topics := slices.Sorted(maps.Keys(heard))
	seen := make(map[string]string, len(topics))
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		b.tell(ctx)
		for _, t := range b.look(ctx, topics, seen) {
			heard[t]()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look gives the topics that were published since the last look, or may have been.
func (b *Bulletin) look(ctx context.Context, topics []string, seen map[string]string) (news []string) {
	var values []rueidis.RedisMessage
	err := b.do(ctx, func(ctx context.Context, conn rueidis.Client) (err error) {
		values, err = conn.Do(ctx, conn.B().Mget().Key(b.keys(topics)...).Build()).ToArray()
		return err
	})
	if err != nil || len(values) != len(topics) {
		clear(seen) // whoever cannot look may miss something
		return nil
	}
	for i, t := range topics {
		value, err := values[i].ToString()
		if err != nil {
			value = b.renew(ctx, t)
		}
		if last, ok := seen[t]; !ok || value != last {
			news = append(news, t)
		}
		if seen[t] = value; value == "" {
			delete(seen, t)
		}
	}
	return news
}

// renew gives a topic a value that it never had; empty: it has none.
func (b *Bulletin) renew(ctx context.Context, topic string) string {
	value := rand.Text()
	if b.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		return conn.Do(ctx, conn.B().Set().Key(b.topic(topic)).Value(value).Ex(topicLasts).Build()).Error()
	}) != nil {
		return ""
	}
	return value
}
