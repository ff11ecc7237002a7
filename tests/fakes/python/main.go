// A fake Python for the images that tests and the demo build. It runs no code.
//
// It implements the call of `pip install` in cnbi-step's Containerfiles, for a lock file with hashes (wheels only, from the index
// in the lock file), and the list of installed packages for `cnbi-step validate`. It is linked statically, so that an image needs no other files.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Folder of the packages in the image.
const site = "/opt/app-root/lib/python3.11/site-packages"

func main() {
	args := os.Args[1:]
	switch {
	case len(args) == 2 && args[0] == "-c" && strings.Contains(args[1], "cnbi-validate"):
		tell()
	case len(args) == 3 && args[0] == "-m" && args[1] == "pip" && args[2] == "--version":
		fmt.Println("pip 24.0, of a fake (python 3.11)")
	case len(args) > 4 && args[0] == "-I" && args[1] == "-c" && strings.Contains(args[2], "run_module('pip'") && args[3] == "install":
		if err := install(args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, "ERROR:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "this is a fake Python, which runs no code")
		os.Exit(2)
	}
}

// tell prints the information that `validate` needs.
func tell() {
	packages := [][2]string{}
	found, _ := filepath.Glob(site + "/*.dist-info/METADATA")
	for _, path := range found {
		text, _ := os.ReadFile(path)
		var name, version string
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "Name: "); ok {
				name = strings.TrimSpace(value)
			}
			if value, ok := strings.CutPrefix(line, "Version: "); ok {
				version = strings.TrimSpace(value)
			}
		}
		packages = append(packages, [2]string{name, version})
	}
	answer, _ := json.Marshal(map[string]any{"version": [3]int{3, 11, 0}, "packages": packages})
	fmt.Printf("\ncnbi-validate %s\n", answer)
}

var (
	pinned = regexp.MustCompile(`^([A-Za-z0-9._-]+)==(\S+)`)
	hashes = regexp.MustCompile(`--hash=sha256:([0-9a-f]{64})`)
	link   = regexp.MustCompile(`href="([^"]+)"`)
)

func install(args []string) error {
	var file string
	var hashesRequired bool
	for at, arg := range args {
		if arg == "--requirement" && at+1 < len(args) {
			file = args[at+1]
		}
		hashesRequired = hashesRequired || arg == "--require-hashes"
	}
	if !hashesRequired {
		return fmt.Errorf("--require-hashes is missing")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	index := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if value, ok := strings.CutPrefix(line, "--index-url "); ok {
			index = value
		}
		if found := pinned.FindStringSubmatch(line); found != nil {
			wanted := hashes.FindAllStringSubmatch(line, -1)
			if err := bring(index, found[1], found[2], wanted); err != nil {
				return fmt.Errorf("%s==%s: %w", found[1], found[2], err)
			}
			fmt.Printf("Successfully installed %s-%s\n", found[1], found[2])
		}
	}
	return nil
}

func bring(index, name, version string, wanted [][]string) error {
	page := strings.TrimSuffix(index, "/") + "/" + name + "/"
	text, err := get(page)
	if err != nil {
		return err
	}
	base, err := url.Parse(page)
	if err != nil {
		return err
	}
	for _, found := range link.FindAllStringSubmatch(string(text), -1) {
		at, err := base.Parse(found[1])
		if err != nil {
			return err
		}
		at.Fragment = ""
		if !strings.Contains(at.Path, "-"+version+"-") || !strings.HasSuffix(at.Path, ".whl") {
			continue
		}
		wheel, err := get(at.String())
		if err != nil {
			return err
		}
		sum := sha256.Sum256(wheel)
		for _, hash := range wanted {
			if hash[1] == hex.EncodeToString(sum[:]) {
				return unpack(wheel)
			}
		}
		return fmt.Errorf("THESE PACKAGES DO NOT MATCH THE HASHES")
	}
	return fmt.Errorf("the index has no wheel")
}

func get(at string) ([]byte, error) {
	answer, err := http.Get(at)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", at, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func unpack(wheel []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return err
	}
	for _, file := range archive.File {
		if !filepath.IsLocal(file.Name) {
			return fmt.Errorf("%s is outside the wheel", file.Name)
		}
		path := filepath.Join(site, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		content, err := file.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(content)
		content.Close()
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
