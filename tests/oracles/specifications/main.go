// Says what the specifications' Go implementations make of the texts on standard input, a JSON string a line.
package main

import (
	"bufio"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"os"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/util/validation"
)

// image gives false, or the parts: domain and path as Docker splits them, tag, digest.
func image(text string) any {
	parsed, err := reference.Parse(text)
	if err != nil {
		return false
	}
	parts := []string{"", "", "", ""}
	if tagged, ok := parsed.(reference.Tagged); ok {
		parts[2] = tagged.Tag()
	}
	if digested, ok := parsed.(reference.Digested); ok {
		parts[3] = digested.Digest().String()
	}
	if named, err := reference.ParseNormalizedNamed(text); err == nil {
		parts[0], parts[1] = reference.Domain(named), reference.Path(named)
	}
	return parts
}

// dns gives whether the text is a label, and whether it is a subdomain.
func dns(text string) any {
	return []bool{len(validation.IsDNS1123Label(text)) == 0, len(validation.IsDNS1123Subdomain(text)) == 0}
}

func main() {
	judge := map[string]func(string) any{"image": image, "dns": dns}[os.Args[1]]
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		verdict, _ := json.Marshal(judge(text))
		fmt.Fprintln(out, string(verdict))
	}
	if err := out.Flush(); err != nil {
		os.Exit(1)
	}
}
