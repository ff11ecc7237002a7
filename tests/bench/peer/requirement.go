package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// requirement is a PEP 508 requirement of a package list.
type requirement struct {
	name       string
	specifiers []specifier
	url        string
	marker     *marker
}

type specifier struct {
	operator string
	text     string
	version  version
	prefix   bool
}

// version is a PEP 440 version; local versions are compared as text, which is enough for the rules here.
type version struct {
	epoch   int
	release []int
	// dev < a < b < rc < final < post, as in packaging's sort key.
	phase, number   int
	post, dev       int
	hasPost, hasDev bool
	local           string
}

const (
	phaseAlpha = iota + 1
	phaseBeta
	phaseCandidate
	phaseFinal
)

var (
	errName    = errors.New("a requirement begins with the name of a project")
	errOption  = errors.New("options of pip are not taken")
	errFile    = errors.New("paths and URLs are not taken; write name @ URL")
	errBreak   = errors.New("one requirement an item: there is a line break")
	errSeveral = errors.New("one requirement an item")
)

func isLetterOrDigit(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// scanName parses a name: letters and digits, with dots, dashes and underscores between them.
func scanName(text string) (name, rest string, ok bool) {
	end := 0
	for end < len(text) && (isLetterOrDigit(text[end]) || text[end] == '.' || text[end] == '-' || text[end] == '_') {
		end++
	}
	for end > 0 && !isLetterOrDigit(text[end-1]) {
		end--
	}
	if end == 0 || !isLetterOrDigit(text[0]) {
		return "", text, false
	}
	return text[:end], text[end:], true
}

func trimLeft(text string) string { return strings.TrimLeft(text, " \t") }

func parseRequirement(text string) (*requirement, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "\n\r") {
		return nil, errBreak
	}
	if strings.HasPrefix(text, "-") || strings.Contains(text, " --") {
		return nil, errOption
	}
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") || strings.HasPrefix(text, "~/") {
		return nil, errFile
	}
	name, rest, ok := scanName(text)
	if !ok {
		return nil, errName
	}
	r := &requirement{name: name}
	rest = trimLeft(rest)
	if strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return nil, errors.New("the list of extras is not closed")
		}
		if inner := strings.TrimSpace(rest[1:end]); inner != "" {
			for extra := range strings.SplitSeq(inner, ",") {
				if _, left, ok := scanName(strings.TrimSpace(extra)); !ok || left != "" {
					return nil, fmt.Errorf("%q is no extra", extra)
				}
			}
		}
		rest = trimLeft(rest[end+1:])
	}
	if after, isURL := strings.CutPrefix(rest, "@"); isURL {
		after = trimLeft(after)
		end := strings.IndexAny(after, " \t")
		if end < 0 {
			end = len(after)
		}
		if r.url = after[:end]; r.url == "" {
			return nil, errors.New("there is no URL after @")
		}
		rest = trimLeft(after[end:])
	} else {
		specs, markers, hasMarker := strings.Cut(rest, ";")
		if hasMarker {
			rest = ";" + markers
		} else {
			rest = ""
		}
		specs = strings.TrimSpace(specs)
		if inner, ok := strings.CutPrefix(specs, "("); ok {
			if specs, ok = strings.CutSuffix(inner, ")"); !ok {
				return nil, errors.New("the parenthesis is not closed")
			}
		}
		if specs = strings.TrimSpace(specs); specs != "" {
			r.specifiers = make([]specifier, 0, 1+strings.Count(specs, ","))
			for part := range strings.SplitSeq(strings.TrimSuffix(specs, ","), ",") {
				spec, err := parseSpecifier(strings.TrimSpace(part))
				if err != nil {
					return nil, err
				}
				r.specifiers = append(r.specifiers, spec)
			}
		}
	}
	if rest == "" {
		return r, nil
	}
	if rest[0] != ';' {
		return nil, fmt.Errorf("%q cannot stand there", rest)
	}
	var err error
	r.marker, err = parseMarker(rest[1:])
	return r, err
}

var operators = []string{"===", "==", "~=", "!=", "<=", ">=", "<", ">"}

func parseSpecifier(text string) (specifier, error) {
	for _, operator := range operators {
		value, ok := strings.CutPrefix(text, operator)
		if !ok {
			continue
		}
		value = trimLeft(value)
		spec := specifier{operator: operator, text: value}
		if operator == "===" {
			if value == "" || strings.ContainsAny(value, " \t") {
				return spec, fmt.Errorf("%q names no version", text)
			}
			return spec, nil
		}
		if operator == "==" || operator == "!=" {
			value, spec.prefix = strings.CutSuffix(value, ".*")
		}
		var ok2 bool
		if spec.version, ok2 = parseVersion(value); !ok2 {
			return spec, fmt.Errorf("%q is no version", value)
		}
		v := &spec.version
		if spec.prefix && (v.hasDev || v.local != "") {
			return spec, fmt.Errorf("%q cannot have a wildcard", value)
		}
		if v.local != "" && operator != "==" && operator != "!=" {
			return spec, fmt.Errorf("a local version cannot stand after %s", operator)
		}
		if operator == "~=" && len(v.release) < 2 {
			return spec, fmt.Errorf("~= needs a version of two parts")
		}
		return spec, nil
	}
	if strings.ContainsAny(text, " ") {
		return specifier{}, errSeveral
	}
	return specifier{}, fmt.Errorf("%q begins with no operator", text)
}

func digits(text string) (value int, rest string, ok bool) {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0, text, false
	}
	value, err := strconv.Atoi(text[:end])
	if err != nil {
		value = int(^uint(0) >> 1)
	}
	return value, text[end:], true
}

func separator(text string) string {
	if text != "" && (text[0] == '.' || text[0] == '-' || text[0] == '_') {
		return text[1:]
	}
	return text
}

// tagged parses an optional separator, one of the words, and an optional number after another separator.
func tagged(text string, words []string) (word string, number int, rest string) {
	inner := separator(text)
	for _, candidate := range words {
		if after, ok := strings.CutPrefix(inner, candidate); ok {
			number, left, ok := digits(separator(after))
			if !ok {
				return candidate, 0, after
			}
			return candidate, number, left
		}
	}
	return "", 0, text
}

var (
	preWords = []string{"alpha", "a", "beta", "b", "preview", "pre", "c", "rc"}
	postWord = []string{"post", "rev", "r"}
	devWord  = []string{"dev"}
)

func parseVersion(text string) (version, bool) {
	v := version{phase: phaseFinal}
	text = strings.ToLower(text)
	text = strings.TrimPrefix(text, "v")
	number, rest, ok := digits(text)
	if !ok {
		return v, false
	}
	if after, isEpoch := strings.CutPrefix(rest, "!"); isEpoch {
		v.epoch = number
		if number, rest, ok = digits(after); !ok {
			return v, false
		}
	}
	v.release = append(make([]int, 0, 4), number)
	for len(rest) > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' {
		number, rest, _ = digits(rest[1:])
		v.release = append(v.release, number)
	}
	if rest == "" {
		return v, true
	}
	word, number, rest := tagged(rest, preWords)
	switch {
	case word == "":
	case word[0] == 'a':
		v.phase, v.number = phaseAlpha, number
	case word[0] == 'b':
		v.phase, v.number = phaseBeta, number
	default:
		v.phase, v.number = phaseCandidate, number
	}
	if after, ok := strings.CutPrefix(rest, "-"); ok && after != "" && after[0] >= '0' && after[0] <= '9' {
		v.post, rest, v.hasPost = digits(after)
	} else if word, number, rest = tagged(rest, postWord); word != "" {
		v.post, v.hasPost = number, true
	}
	if word, number, rest = tagged(rest, devWord); word != "" {
		v.dev, v.hasDev = number, true
	}
	if after, ok := strings.CutPrefix(rest, "+"); ok {
		for part := range strings.FieldsFuncSeq(after, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
			for i := range len(part) {
				if !isLetterOrDigit(part[i]) {
					return v, false
				}
			}
		}
		v.local, rest = after, ""
		if after == "" || !isLetterOrDigit(after[0]) || !isLetterOrDigit(after[len(after)-1]) {
			return v, false
		}
	}
	return v, rest == ""
}

func compareRelease(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var left, right int
		if i < len(a) {
			left = a[i]
		}
		if i < len(b) {
			right = b[i]
		}
		if order := cmp.Compare(left, right); order != 0 {
			return order
		}
	}
	return 0
}

func compareVersions(a, b *version) int {
	if order := cmp.Compare(a.epoch, b.epoch); order != 0 {
		return order
	}
	if order := compareRelease(a.release, b.release); order != 0 {
		return order
	}
	// A development release without pre-release is older than every pre-release.
	phase := func(v *version) int {
		if v.phase == phaseFinal && !v.hasPost && v.hasDev {
			return 0
		}
		return v.phase
	}
	post := func(v *version) int {
		if !v.hasPost {
			return -1
		}
		return v.post
	}
	dev := func(v *version) int {
		if !v.hasDev {
			return int(^uint(0) >> 1)
		}
		return v.dev
	}
	return cmp.Or(
		cmp.Compare(phase(a), phase(b)),
		cmp.Compare(a.number, b.number),
		cmp.Compare(post(a), post(b)),
		cmp.Compare(dev(a), dev(b)),
	)
}

// contradict reports whether no version satisfies all specifiers.
func contradict(specifiers []specifier) bool {
	if len(specifiers) < 2 {
		return false
	}
	var lower, upper *version
	var lowerOpen, upperOpen bool
	raise := func(v *version, open bool) {
		if lower == nil || compareVersions(v, lower) > 0 || compareVersions(v, lower) == 0 && open {
			lower, lowerOpen = v, open
		}
	}
	lessen := func(v *version, open bool) {
		if upper == nil || compareVersions(v, upper) < 0 || compareVersions(v, upper) == 0 && open {
			upper, upperOpen = v, open
		}
	}
	for i := range specifiers {
		spec := &specifiers[i]
		v := &spec.version
		switch {
		case spec.operator == ">=":
			raise(v, false)
		case spec.operator == ">":
			raise(v, true)
		case spec.operator == "<=":
			lessen(v, false)
		case spec.operator == "<":
			lessen(v, true)
		case spec.operator == "==" && !spec.prefix:
			raise(v, false)
			lessen(v, false)
		case spec.operator == "==":
			first, next := prefixRange(v, v.release)
			raise(first, false)
			lessen(next, true)
		case spec.operator == "~=":
			_, next := prefixRange(v, v.release[:len(v.release)-1])
			raise(v, false)
			lessen(next, true)
		}
	}
	if lower != nil && upper != nil {
		order := compareVersions(lower, upper)
		if order > 0 || order == 0 && (lowerOpen || upperOpen) {
			return true
		}
	}
	for i := range specifiers {
		if specifiers[i].operator != "!=" {
			continue
		}
		for j := range specifiers {
			same := specifiers[j].operator == "==" && specifiers[j].prefix == specifiers[i].prefix
			if same && compareVersions(&specifiers[i].version, &specifiers[j].version) == 0 {
				return true
			}
		}
	}
	return false
}

func prefixRange(v *version, release []int) (first, next *version) {
	low := version{epoch: v.epoch, release: release, phase: phaseFinal, hasDev: true}
	bumped := slices.Clone(release)
	bumped[len(bumped)-1]++
	return &low, &version{epoch: v.epoch, release: bumped, phase: phaseFinal, hasDev: true}
}

func normalizedName(name string) string {
	plain := true
	for i := range len(name) {
		if b := name[i]; b >= 'A' && b <= 'Z' || b == '_' || b == '.' || b == '-' && i > 0 && name[i-1] == '-' {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	var b strings.Builder
	b.Grow(len(name))
	var last byte
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_' || c == '.' || c == '-':
			if last == '-' {
				continue
			}
			c = '-'
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		b.WriteByte(c)
		last = c
	}
	return b.String()
}
