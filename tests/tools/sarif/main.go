// Says of each JSON document on standard input, one a line, whether a schema takes it: a line "ok", or what is wrong, on one line. The
// schema is the one that the argument names, and without one that which OASIS publishes for SARIF 2.1.0.
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

// How the schema's text begins, as the library has it.
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

// The schema of SARIF. The library keeps it to itself and validates only what went through its own types, which add and leave out
// fields; so it is read where the linker has put it, in the bytes of this program.
func published() ([]byte, error) {
	// What it calls is linked in.
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
