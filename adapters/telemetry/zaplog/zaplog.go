// Package zaplog writes the log.
package zaplog

import (
	"context"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// flushEvery is how long a line may wait to be written with others.
const flushEvery = 100 * time.Millisecond

// New makes a logger that writes to out: JSON lines, or lines for people where
// console is set. level is debug, info, warn or error; set changes it. Lines are
// written in batches; stop writes the last.
func New(out io.Writer, level string, console bool) (log *zap.Logger, set func(level string) error, stop func() error, err error) {
	least := zap.NewAtomicLevel()
	set = func(level string) error {
		l, err := zapcore.ParseLevel(level)
		if err != nil {
			return fault.Invalidf("log.level", "invalid_value", "log.level: %q is no level", level)
		}
		least.SetLevel(l)
		return nil
	}
	if err := set(level); err != nil {
		return nil, nil, nil, err
	}
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime, cfg.EncodeDuration = "time", zapcore.RFC3339NanoTimeEncoder, zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(cfg)
	if console {
		cfg.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		cfg.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(cfg)
	}
	// The writer alone: a file that is brought to its disk with each batch would hold up
	// all who log meanwhile.
	batch := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(struct{ io.Writer }{out}), FlushInterval: flushEvery}
	return zap.New(zapcore.NewCore(encoder, batch, least)), set, batch.Stop, nil
}

// Observer logs what happens inside the application. No prompt, answer or
// credential is in what it is told.
type Observer struct {
	ports.NopObserver
	log *zap.Logger
}

var _ ports.Observer = (*Observer)(nil)

// NewObserver makes an Observer that writes to log.
func NewObserver(log *zap.Logger) *Observer { return &Observer{log: log} }

// AttemptFailed logs why a candidate was passed over.
func (o *Observer) AttemptFailed(_ context.Context, name agent.Name, err error) {
	if fault.Is(err, fault.Canceled) {
		return
	}
	o.log.Warn("agent failed", zap.String("agent", string(name)), zap.Stringer("kind", fault.KindOf(err)), zap.String("error", err.Error()))
}

// CompletionEnded logs what a completion took and cost, at debug level: the
// request's own line says the rest.
func (o *Observer) CompletionEnded(_ context.Context, e ports.Ended) {
	if entry := o.log.Check(zapcore.DebugLevel, "completion"); entry != nil {
		entry.Write(zap.String("request_id", e.Request), zap.String("agent", string(e.Agent)), zap.String("model", e.Model),
			zap.Int("attempts", e.Attempts), zap.Int("tokens_in", e.Usage.Prompt), zap.Int("tokens_out", e.Usage.Completion),
			zap.Duration("took", e.Took), zap.Error(e.Err))
	}
}

// HealthChanged logs that an agent has become better or worse.
func (o *Observer) HealthChanged(_ context.Context, name agent.Name, h agent.Health) {
	level := zapcore.InfoLevel
	if h.State == agent.Unhealthy {
		level = zapcore.WarnLevel
	}
	fields := []zap.Field{zap.String("agent", string(name))}
	if h.Reason != "" {
		fields = append(fields, zap.String("reason", h.Reason))
	}
	o.log.Log(level, "agent is "+string(h.State), fields...)
}

// Degraded logs that something has gone which the server depends on, or is back.
func (o *Observer) Degraded(_ context.Context, d ports.Degraded) {
	if d.Over {
		o.log.Info("no more degraded", zap.String("dep", d.Dep), zap.String("mode", d.Mode), zap.Duration("after", time.Since(d.Since)))
		return
	}
	o.log.Warn("degraded", zap.String("dep", d.Dep), zap.String("mode", d.Mode), zap.String("reason", d.Why))
}

// Lost logs work that could not be stored.
func (o *Observer) Lost(_ context.Context, what string, err error) {
	o.log.Error("lost", zap.String("what", what), zap.Error(err))
}

// Swept logs what was removed because of its age, where it was anything.
func (o *Observer) Swept(_ context.Context, done ports.Swept, err error) {
	level := zapcore.InfoLevel
	switch {
	case err != nil:
		level = zapcore.WarnLevel
	case done == ports.Swept{}:
		level = zapcore.DebugLevel
	}
	o.log.Log(level, "what is old is removed", zap.Int("sessions", done.Sessions), zap.Int("usage_records", done.Usage),
		zap.Int("idempotency_results", done.Results), zap.Int("agent_health_changes", done.Health), zap.Error(err))
}

// AuditBroken logs that the audit log has been tampered with.
func (o *Observer) AuditBroken(_ context.Context, found audit.Finding) {
	o.log.Error("the audit log is not what it was; see agentapi audit verify", zap.String("kind", string(found.Kind)),
		zap.Uint64("first", found.Seq), zap.Uint64("through", found.Through), zap.String("what", found.What))
}
