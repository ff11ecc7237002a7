package main

import (
	"fmt"
	"strings"
)

// marker is an environment marker of PEP 508: `and`, `or`, or a comparison.
type marker struct {
	operator    string
	left, right *marker
	variable    string
	value       string
	swapped     bool
}

var variables = map[string]string{
	"python_version": "", "python_full_version": "", "os_name": "posix", "sys_platform": "linux",
	"platform_system": "Linux", "platform_release": "", "platform_version": "", "platform_machine": "",
	"platform_python_implementation": "", "implementation_name": "", "implementation_version": "", "extra": "",
}

type markerParser struct{ rest string }

func parseMarker(text string) (*marker, error) {
	p := markerParser{text}
	m, err := p.or()
	if err == nil && trimLeft(p.rest) != "" {
		err = fmt.Errorf("%q cannot stand in a marker", p.rest)
	}
	return m, err
}

func (p *markerParser) word(word string) bool {
	rest := trimLeft(p.rest)
	after, ok := strings.CutPrefix(rest, word)
	if ok && (after == "" || !isLetterOrDigit(after[0]) && after[0] != '_') {
		p.rest = after
		return true
	}
	return false
}

func (p *markerParser) or() (*marker, error) { return p.chain("or", p.and) }

func (p *markerParser) and() (*marker, error) { return p.chain("and", p.item) }

func (p *markerParser) chain(word string, next func() (*marker, error)) (*marker, error) {
	left, err := next()
	for err == nil && p.word(word) {
		var right *marker
		right, err = next()
		left = &marker{operator: word, left: left, right: right}
	}
	return left, err
}

func (p *markerParser) item() (*marker, error) {
	p.rest = trimLeft(p.rest)
	if inner, ok := strings.CutPrefix(p.rest, "("); ok {
		p.rest = inner
		m, err := p.or()
		if err != nil {
			return nil, err
		}
		p.rest = trimLeft(p.rest)
		after, ok := strings.CutPrefix(p.rest, ")")
		if !ok {
			return nil, fmt.Errorf("a parenthesis of the marker is not closed")
		}
		p.rest = after
		return m, nil
	}
	left, leftIsVariable, err := p.operand()
	if err != nil {
		return nil, err
	}
	operator := ""
	p.rest = trimLeft(p.rest)
	for _, candidate := range operators {
		if after, ok := strings.CutPrefix(p.rest, candidate); ok {
			operator, p.rest = candidate, after
			break
		}
	}
	if operator == "" {
		switch {
		case p.word("in"):
			operator = "in"
		case p.word("not") && p.word("in"):
			operator = "not in"
		default:
			return nil, fmt.Errorf("%q is no operator of a marker", p.rest)
		}
	}
	right, rightIsVariable, err := p.operand()
	if err != nil {
		return nil, err
	}
	if leftIsVariable {
		return &marker{operator: operator, variable: left, value: right}, nil
	}
	if !rightIsVariable {
		return nil, fmt.Errorf("a marker compares a variable")
	}
	return &marker{operator: operator, variable: right, value: left, swapped: true}, nil
}

func (p *markerParser) operand() (text string, isVariable bool, err error) {
	p.rest = trimLeft(p.rest)
	if p.rest != "" && (p.rest[0] == '"' || p.rest[0] == '\'') {
		inner, rest, ok := strings.Cut(p.rest[1:], p.rest[:1])
		if !ok {
			return "", false, fmt.Errorf("a text of the marker is not closed")
		}
		p.rest = rest
		return inner, false, nil
	}
	end := 0
	for end < len(p.rest) && (isLetterOrDigit(p.rest[end]) || p.rest[end] == '_') {
		end++
	}
	name := p.rest[:end]
	if _, known := variables[name]; !known {
		return "", false, fmt.Errorf("%q is no variable of a marker", p.rest)
	}
	p.rest = p.rest[end:]
	return name, true, nil
}

type truth int

const (
	no truth = iota
	unknown
	yes
)

// holds evaluates the marker for a Python version; "" is unknown.
func (m *marker) holds(python string) truth {
	switch m.operator {
	case "and":
		return min(m.left.holds(python), m.right.holds(python))
	case "or":
		return max(m.left.holds(python), m.right.holds(python))
	}
	actual := variables[m.variable]
	if m.variable == "python_version" {
		actual = python
	}
	if actual == "" || m.swapped && m.variable == "python_version" {
		return unknown
	}
	is := func(condition bool) truth {
		if condition {
			return yes
		}
		return no
	}
	switch m.operator {
	case "in":
		return is(strings.Contains(m.value, actual))
	case "not in":
		return is(!strings.Contains(m.value, actual))
	}
	order := strings.Compare(actual, m.value)
	left, ok := parseVersion(actual)
	right, ok2 := parseVersion(strings.TrimSuffix(m.value, ".*"))
	if m.variable == "python_version" && ok && ok2 {
		order = compareVersions(&left, &right)
	}
	switch m.operator {
	case "==", "===", "~=":
		if strings.HasSuffix(m.value, ".*") || m.operator == "~=" {
			return unknown
		}
		return is(order == 0)
	case "!=":
		return is(order != 0)
	case "<":
		return is(order < 0)
	case "<=":
		return is(order <= 0)
	case ">":
		return is(order > 0)
	default:
		return is(order >= 0)
	}
}

// disjoint reports whether no Python version satisfies both.
func disjoint(a, b *marker) bool {
	for minor := range 24 {
		python := fmt.Sprintf("3.%d", minor)
		if a.holds(python) != no && b.holds(python) != no {
			return false
		}
	}
	return true
}
