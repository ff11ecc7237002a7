package main

import (
	"os"

	"sigs.k8s.io/yaml"
)

// Config is the part of the admin's policy that the rules need.
type Config struct {
	TargetNamespace struct {
		Default string `json:"default"`
		Allowed []struct {
			Namespace string   `json:"namespace"`
			From      []string `json:"from"`
		} `json:"allowed"`
	} `json:"targetNamespace"`
	RuntimeEnvironments []CatalogEntry `json:"runtimeEnvironments"`
	Images              struct {
		Allowed []string `json:"allowed"`
	} `json:"images"`
	Repositories struct {
		Allowed []string `json:"allowed"`
	} `json:"repositories"`
	Git struct {
		Credentials []struct {
			Host string `json:"host"`
		} `json:"credentials"`
	} `json:"git"`
	PullSecrets struct {
		CopyToTarget bool `json:"copyToTarget"`
	} `json:"pullSecrets"`
	Rules map[string]string `json:"rules"`
}

// CatalogEntry is one runtime environment with its image.
type CatalogEntry struct {
	RuntimeEnvironment `json:",inline"`
	BuilderImage       string `json:"builderImage"`
}

func readConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config := &Config{}
	return config, yaml.Unmarshal(text, config)
}

func (c *Config) defaultTarget(namespace string) string {
	if c.TargetNamespace.Default != "" {
		return c.TargetNamespace.Default
	}
	return namespace
}

func (c *Config) allowsTarget(target, namespace string) bool {
	if target == c.defaultTarget(namespace) {
		return true
	}
	for _, entry := range c.TargetNamespace.Allowed {
		if entry.Namespace != target {
			continue
		}
		for _, from := range entry.From {
			if from == "*" || from == namespace {
				return true
			}
		}
	}
	return false
}

func (c *Config) catalogImage(environment *RuntimeEnvironment) (string, bool) {
	for i := range c.RuntimeEnvironments {
		if c.RuntimeEnvironments[i].RuntimeEnvironment == *environment {
			return c.RuntimeEnvironments[i].BuilderImage, true
		}
	}
	return "", false
}
