package bootstrap

import (
	"runtime/debug"
	"strings"
)

// BOM is a bill of materials: what this program was built of, as CycloneDX 1.6 has it.
type BOM struct {
	Format     string         `json:"bomFormat"`
	Spec       string         `json:"specVersion"`
	Version    int            `json:"version"`
	Metadata   BOMMetadata    `json:"metadata"`
	Components []BOMComponent `json:"components"`
}

// BOMMetadata says what the bill is for.
type BOMMetadata struct {
	Component BOMComponent `json:"component"`
}

// BOMComponent is one part.
type BOMComponent struct {
	Type       string        `json:"type"`
	Ref        string        `json:"bom-ref"`
	Name       string        `json:"name"`
	Version    string        `json:"version"`
	PURL       string        `json:"purl,omitempty"`
	Properties []BOMProperty `json:"properties,omitempty"`
}

// BOMProperty is what else is known of a part: its hash as go.sum has it.
type BOMProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Materials is read from the program itself, so it cannot be another's. It has no
// time and no number of its own: the same program gives the same bill.
func Materials() BOM {
	b := BOM{Format: "CycloneDX", Spec: "1.6", Version: 1, Components: []BOMComponent{}}
	b.Metadata.Component = BOMComponent{Type: "application", Ref: "agentapi", Name: "agentapi", Version: Version().Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Components = append(b.Components, part(&debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, part(m))
	}
	return b
}

func part(m *debug.Module) BOMComponent {
	purl := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := BOMComponent{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if m.Sum != "" {
		c.Properties = []BOMProperty{{"go.sum", m.Sum}}
	}
	return c
}
