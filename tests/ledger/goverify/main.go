// Goverify reads a ledger with the Go project's own transparency log code, which shares nothing
// with ours: it opens the signed checkpoint, checks a proof file, and proves every header and
// every earlier size of the log from the tiles on disk.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// files reads tiles of height 8 from a ledger's folder.
type files struct{ folder string }

func (f files) Height() int { return 8 }

func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		// The path of C2SP tlog-tiles has no height in it: tile/8/0/001 is tile/0/001.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := os.ReadFile(filepath.Join(f.folder, path))
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}

func (f files) SaveTiles([]tlog.Tile, [][]byte) {}

type checkpoint struct {
	origin string
	tree   tlog.Tree
}

func openCheckpoint(vkey, content string) (checkpoint, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return checkpoint{}, err
	}
	opened, err := note.Open([]byte(content), note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return checkpoint{}, fmt.Errorf("the checkpoint has %d lines", len(lines))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return checkpoint{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return checkpoint{lines[0], tlog.Tree{N: size, Hash: root}}, err
}

// checkProof checks a C2SP tlog-proof of the header whose bytes are given in hex.
func checkProof(vkey, proof, headerHex string) error {
	top, signed, found := strings.Cut(proof, "\n\n")
	if !found {
		return fmt.Errorf("the proof has no checkpoint")
	}
	point, err := openCheckpoint(vkey, signed)
	if err != nil {
		return err
	}
	var index int64 = -1
	var path tlog.RecordProof
	for _, line := range strings.Split(top, "\n")[1:] {
		if strings.HasPrefix(line, "extra ") {
			continue
		}
		if number, is := strings.CutPrefix(line, "index "); is {
			if index, err = strconv.ParseInt(number, 10, 64); err != nil {
				return err
			}
			continue
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			return err
		}
		path = append(path, tlog.Hash(raw))
	}
	header, err := hex.DecodeString(headerHex)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, point.tree.N, point.tree.Hash, index, tlog.RecordHash(header))
}

// checkTiles proves every header, and every earlier size, from the tiles alone.
func checkTiles(vkey, folder string) (checkpoint, error) {
	content, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return checkpoint{}, err
	}
	point, err := openCheckpoint(vkey, string(content))
	if err != nil {
		return point, err
	}
	reader := tlog.TileHashReader(point.tree, files{folder})
	for n := int64(0); n < point.tree.N; n++ {
		// The reader itself checks every tile against the signed root.
		path, err := tlog.ProveRecord(point.tree.N, n, reader)
		if err != nil {
			return point, fmt.Errorf("block %d: %w", n, err)
		}
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return point, fmt.Errorf("block %d: %w", n, err)
		}
		if err := tlog.CheckRecord(path, point.tree.N, point.tree.Hash, n, hashes[0]); err != nil {
			return point, fmt.Errorf("block %d: %w", n, err)
		}
		older, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			return point, fmt.Errorf("size %d: %w", n+1, err)
		}
		grown, err := tlog.ProveTree(point.tree.N, n+1, reader)
		if err != nil {
			return point, fmt.Errorf("size %d: %w", n+1, err)
		}
		if err := tlog.CheckTree(grown, point.tree.N, point.tree.Hash, n+1, older); err != nil {
			return point, fmt.Errorf("size %d: %w", n+1, err)
		}
	}
	return point, nil
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("use: goverify VKEY LEDGER PROOF HEADER_HEX")
	}
	point, err := checkTiles(args[0], args[1])
	if err != nil {
		return err
	}
	proof, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	if err := checkProof(args[0], string(proof), args[3]); err != nil {
		return err
	}
	fmt.Printf("%s %d\n", point.origin, point.tree.N)
	return nil
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
