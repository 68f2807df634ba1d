// Package docs serves the description of the API, and a page that shows it. The page
// needs nothing but this server: its policy lets it load and ask nothing else.
package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
)

//go:embed page.html
var page []byte

//go:embed start.js
var start []byte

// reference is Scalar's program, compressed; NOTICE.md says where it is from.
//
//go:embed reference.js.gz
var reference []byte

// policy is what the page may do. Scalar writes its styles into the page.
const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Description is the OpenAPI document, and what language models are told.
type Description struct {
	YAML []byte
	LLMs []byte
	JSON func() ([]byte, error) // is asked once, by the first who wants it
}

// Handler serves the description and the page. Make it with New.
type Handler struct {
	yaml, json, llms, page, start, reference func() (*file, error)
}

// New makes a Handler. What is served is prepared when it is first asked for.
func New(d Description) *Handler {
	text := func(mime string, text []byte) func() (*file, error) {
		return sync.OnceValues(func() (*file, error) { return packed(mime, text) })
	}
	return &Handler{
		yaml: text("application/yaml", d.YAML),
		json: sync.OnceValues(func() (*file, error) {
			text, err := d.JSON()
			if err != nil {
				return nil, fault.Internalf("the description as JSON: %w", err)
			}
			return packed("application/json", text)
		}),
		llms:  text("text/plain; charset=utf-8", d.LLMs),
		page:  text("text/html; charset=utf-8", page),
		start: text("text/javascript; charset=utf-8", start),
		reference: sync.OnceValues(func() (*file, error) {
			return &file{mime: "text/javascript; charset=utf-8", packed: reference, tag: tag(reference)}, nil
		}),
	}
}

// YAML answers GET /openapi.yaml.
func (h *Handler) YAML(c *fiber.Ctx) error { return send(c, h.yaml) }

// JSON answers GET /openapi.json.
func (h *Handler) JSON(c *fiber.Ctx) error { return send(c, h.json) }

// LLMs answers GET /llms.txt.
func (h *Handler) LLMs(c *fiber.Ctx) error { return send(c, h.llms) }

// Page answers GET /docs.
func (h *Handler) Page(c *fiber.Ctx) error {
	c.Set("Content-Security-Policy", policy)
	c.Set("Referrer-Policy", "no-referrer")
	return send(c, h.page)
}

// Start answers GET /docs/start.js.
func (h *Handler) Start(c *fiber.Ctx) error { return send(c, h.start) }

// Reference answers GET /docs/reference.js.
func (h *Handler) Reference(c *fiber.Ctx) error { return send(c, h.reference) }

// file is what is served, compressed.
type file struct {
	mime   string
	packed []byte
	tag    string
}

func packed(mime string, text []byte) (*file, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fault.Internalf("compressing %s: %w", mime, err)
	}
	return &file{mime: mime, packed: b.Bytes(), tag: tag(text)}, nil
}

// tag is a weak one: it is the same, compressed or not.
func tag(text []byte) string {
	sum := sha256.Sum256(text)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

func send(c *fiber.Ctx, made func() (*file, error)) error {
	f, err := made()
	if err != nil {
		return err
	}
	c.Set("ETag", f.tag)
	c.Set("Cache-Control", "no-cache")
	c.Set("Vary", "Accept-Encoding")
	c.Set("X-Content-Type-Options", "nosniff")
	if has(c, f.tag) {
		c.Status(fiber.StatusNotModified)
		return nil
	}
	c.Response().Header.SetContentType(f.mime)
	if takesGzip(c.Get("Accept-Encoding")) {
		c.Set("Content-Encoding", "gzip")
		c.Response().SetBodyRaw(f.packed)
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(f.packed))
	if err != nil {
		return fault.Internalf("unpacking %s: %w", f.mime, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return fault.Internalf("unpacking %s: %w", f.mime, err)
	}
	c.Response().SetBodyRaw(text)
	return nil
}

// has tells whether the caller says that it has what has this tag.
func has(c *fiber.Ctx, tag string) bool {
	for t := range strings.SplitSeq(c.Get("If-None-Match"), ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// takesGzip reads an Accept-Encoding header.
func takesGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, said := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		n, err := strconv.ParseFloat(q, 64)
		return !said || err == nil && n > 0
	}
	return false
}
