// Command pack writes the vocabularies that the package counts by, as its module of the
// same encodings has them: for each id from 0 on a token's length and its bytes,
// compressed.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"log"
	"os"

	"github.com/tiktoken-go/tokenizer/codec"
)

func main() {
	for name, v := range map[string]struct {
		codec *codec.Codec
		size  uint
	}{"o200k.gz": {codec.NewO200kBase(), 199_998}, "cl100k.gz": {codec.NewCl100kBase(), 100_256}} {
		var out bytes.Buffer
		w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err != nil {
			log.Fatal(err)
		}
		for id := range v.size {
			token, err := v.codec.Decode([]uint{id})
			if err != nil {
				log.Fatal(err)
			}
			if _, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(token))), token...)); err != nil {
				log.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
