package main

import (
	"encoding/json"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// pullSecret contains the names of the registries in a Secret.
type pullSecret struct {
	isForRegistries bool
	entries         []string
}

func readPullSecret(secret *corev1.Secret) *pullSecret {
	read := &pullSecret{}
	var entries map[string]json.RawMessage
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		var document struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		if json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &document) != nil {
			return read
		}
		entries = document.Auths
	case corev1.SecretTypeDockercfg:
		if json.Unmarshal(secret.Data[corev1.DockerConfigKey], &entries) != nil {
			return read
		}
	default:
		return read
	}
	read.isForRegistries = true
	read.entries = make([]string, 0, len(entries))
	for entry := range entries {
		read.entries = append(read.entries, entry)
	}
	return read
}

func isHub(host string) bool {
	return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io"
}

// answersFor finds an entry like the kubelet does.
func (s *pullSecret) answersFor(image *image) bool {
	for _, entry := range s.entries {
		entry = strings.TrimPrefix(strings.TrimPrefix(entry, "https://"), "http://")
		host, prefix, _ := strings.Cut(entry, "/")
		prefix = strings.TrimPrefix(strings.TrimPrefix(prefix, "v1/"), "v2/")
		if prefix == "v1" || prefix == "v2" {
			prefix = ""
		}
		prefix = strings.TrimSuffix(prefix, "/")
		if hostMatches(host, image.host()) && strings.HasPrefix(image.path(), prefix) {
			return true
		}
	}
	return false
}

func hostMatches(pattern, host string) bool {
	if isHub(host) {
		return isHub(pattern)
	}
	patternHost, patternPort, _ := strings.Cut(pattern, ":")
	name, port, _ := strings.Cut(host, ":")
	patterns, parts := strings.Split(patternHost, "."), strings.Split(name, ".")
	if patternPort != port || len(patterns) != len(parts) {
		return false
	}
	for i := range parts {
		if ok, err := path.Match(patterns[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
