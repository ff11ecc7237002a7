// Validates each JSON document on standard input (one per line) and prints "ok" or the errors, on one line. The schema is the one
// in the argument, by default that of OASIS for SARIF 2.1.0.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/xeipuuv/gojsonschema"
)

// The beginning of the schema's text in the library.
var begin = []byte("{\n  \"$schema\": \"http://json-schema.org/")

const identifier = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

func main() {
	text, err := chosen(os.Args[1:])
	if err != nil {
		fail(err)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(text))
	if err != nil {
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		result, err := schema.Validate(gojsonschema.NewBytesLoader(lines.Bytes()))
		if err != nil {
			fail(err)
		}
		wrong := []string{}
		for _, each := range result.Errors() {
			wrong = append(wrong, strings.Join(strings.Fields(each.String()), " "))
		}
		if len(wrong) == 0 {
			wrong = []string{"ok"}
		}
		fmt.Println(strings.Join(wrong, "; "))
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func chosen(arguments []string) ([]byte, error) {
	if len(arguments) == 0 {
		return published()
	}
	return os.ReadFile(arguments[0])
}

// The SARIF schema. The library does not export it and validates only its own types, which add and drop fields. So it is read
// from the data of this program.
func published() ([]byte, error) {
	// This call makes the linker include the schema.
	_ = sarif.NewReport().Validate()
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		at := bytes.Index(program, begin)
		if at < 0 {
			return nil, errors.New("the library has no schema of SARIF 2.1.0 in it")
		}
		program = program[at:]
		var text json.RawMessage
		var named struct{ ID string }
		if json.NewDecoder(bytes.NewReader(program)).Decode(&text) == nil && json.Unmarshal(text, &named) == nil && named.ID == identifier {
			return text, nil
		}
		program = program[len(begin):]
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "sarif:", err)
	os.Exit(1)
}
