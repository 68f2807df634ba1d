package oidc

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"agentapi/domain/fault"
)

// Prompt is what a person does to log in on another device.
type Prompt struct {
	Address string // to open
	Code    string // to enter there
	Whole   string // an address that has the code in it; may be empty
	Expires time.Time
}

// Device logs in on another device: RFC 8628. show is told what the person is to
// do. It ends with ctx.
func (c *Client) Device(ctx context.Context, show func(Prompt)) (Token, error) {
	if !c.HasDevice() {
		return Token{}, fault.New(fault.Unsupported, "The provider does not let people log in on another device.")
	}
	asking, cancel := context.WithTimeout(c.context(ctx), fetchLimit)
	defer cancel()
	d, err := c.oauth.DeviceAuth(asking, c.meant()...)
	if err != nil {
		return Token{}, failed(ctx, err)
	}
	if d.DeviceCode == "" || d.UserCode == "" || !safeURL(d.VerificationURI) {
		return Token{}, fault.New(fault.Upstream, "The provider does not say how to log in on another device.")
	}
	if !safeURL(d.VerificationURIComplete) {
		d.VerificationURIComplete = ""
	}
	if d.Interval != 0 { // absent: 5 s
		d.Interval = min(max(d.Interval, 1), 60)
	}
	show(Prompt{plain(d.VerificationURI), plain(d.UserCode), plain(d.VerificationURIComplete), d.Expiry})
	got, err := c.oauth.DeviceAccessToken(c.context(ctx), d, c.meant()...)
	var r *oauth2.RetrieveError
	switch {
	case errors.As(err, &r) && r.ErrorCode == "expired_token", errors.Is(err, context.DeadlineExceeded):
		return Token{}, tooLate()
	case err != nil:
		return Token{}, failed(ctx, err)
	}
	return c.accept(c.context(ctx), got, "")
}
