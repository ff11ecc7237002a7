package main

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/distribution/reference"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

var (
	specPath        = field.NewPath("spec")
	metadataPath    = field.NewPath("metadata")
	annotationsPath = metadataPath.Child("annotations")
	packagesPath    = specPath.Child("packageVersions")
)

// findings collects the findings of the rules.
type findings struct {
	config    *Config
	errors    []finding
	warnings  admission.Warnings
	forbidden bool
}

type finding struct {
	rule  string
	error *field.Error
}

func (f *findings) inForce(rule string) bool { return f.config.Rules[rule] != "Off" }

func (f *findings) add(rule string, path *field.Path, value any, message string) {
	switch f.config.Rules[rule] {
	case "Off":
	case "Warn":
		f.warnings = append(f.warnings, path.String()+": "+message+" ("+rule+")")
	default:
		f.errors = append(f.errors, finding{rule, field.Invalid(path, value, message+" ("+rule+")")})
	}
}

func (f *findings) warn(rule string, path *field.Path, value any, message string) {
	switch f.config.Rules[rule] {
	case "Off":
	case "Deny":
		f.add(rule, path, value, message)
	default:
		f.warnings = append(f.warnings, path.String()+": "+message+" ("+rule+")")
	}
}

// forgive turns errors that already existed into warnings. Permissions are checked again after every change of the spec.
func (f *findings) forgive(before *findings, sameSpec bool) {
	f.errors = slices.DeleteFunc(f.errors, func(now finding) bool {
		isOld := slices.ContainsFunc(before.errors, func(then finding) bool {
			return then.rule == now.rule && then.error.BadValue == now.error.BadValue
		})
		if now.rule == "CNB002" || now.rule == "CNB022" && !sameSpec {
			isOld = false
		}
		if isOld {
			f.warnings = append(f.warnings, now.error.Error())
		}
		return isOld
	})
}

func (f *findings) answer(object *CustomNBImage) (admission.Warnings, error) {
	if len(f.errors) == 0 {
		return f.warnings, nil
	}
	list := make(field.ErrorList, 0, len(f.errors))
	for _, finding := range f.errors {
		list = append(list, finding.error)
	}
	kind := schema.GroupKind{Group: groupVersion.Group, Kind: "CustomNBImage"}
	return f.warnings, apierrors.NewInvalid(kind, object.Name, list)
}

func isLabel(text string) bool     { return len(validation.IsDNS1123Label(text)) == 0 }
func isSubdomain(text string) bool { return len(validation.IsDNS1123Subdomain(text)) == 0 }

// isStreamName follows OpenShift: letters and digits, with single separators between them.
func isStreamName(namespace, name string) bool {
	if len(namespace)+1+len(name) > 255 {
		return false
	}
	last := byte('-')
	for i := range len(name) {
		b := name[i]
		isPart := b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
		isPartLast := last >= 'a' && last <= 'z' || last >= '0' && last <= '9'
		if !isPart && (b != '.' && b != '-' && b != '_' || !isPartLast) {
			return false
		}
		last = b
	}
	return last >= 'a' && last <= 'z' || last >= '0' && last <= '9'
}

func within(text string, limit int) bool {
	return len(text) <= limit || utf8.RuneCountInString(text) <= limit
}

// judgeAlone applies the rules that need only the object and the configuration.
func (c *Config) judgeAlone(object, old *CustomNBImage, found *findings) {
	spec := object.Spec
	target := c.defaultTarget(object.Namespace)
	if spec != nil && spec.TargetNamespace != nil {
		target = *spec.TargetNamespace
	}
	name := object.Name
	if name == "" && object.GenerateName != "" {
		name = object.GenerateName + "x"
	}
	if !isStreamName(target, name) {
		found.add("CNB003", metadataPath.Child("name"), object.Name, "cannot be the name of an ImageStream")
	}
	judgeAnnotations(object.Annotations, found)
	if spec == nil {
		found.add("CNB000", specPath, nil, "is missing")
		return
	}
	if old != nil && old.Spec != nil {
		if old.Spec.BuildType != spec.BuildType {
			found.add("CNB002", specPath.Child("buildType"), spec.BuildType, "cannot be changed")
		}
		if before := old.Spec.TargetNamespace; before != nil && (spec.TargetNamespace == nil || *before != *spec.TargetNamespace) {
			found.add("CNB002", specPath.Child("targetNamespace"), spec.TargetNamespace, "cannot be changed")
		}
	}
	if spec.TargetNamespace != nil && !isLabel(target) {
		found.add("CNB020", specPath.Child("targetNamespace"), target, "is no name of a namespace")
	} else if !c.allowsTarget(target, object.Namespace) {
		found.add("CNB021", specPath.Child("targetNamespace"), target, "may not be used by resources of this namespace")
	}
	foreign := func(isSet bool, name string, owners ...string) {
		if isSet && !slices.Contains(owners, spec.BuildType) {
			found.add("CNB001", specPath.Child(name), spec.BuildType, "is a field of "+strings.Join(owners, " and "))
		}
	}
	switch spec.BuildType {
	case imageImport:
		if spec.FromImage == nil {
			found.add("CNB101", specPath.Child("fromImage"), "", "is missing")
		}
	case packageList:
		c.judgePackageList(spec, found)
	case gitRepository:
		if spec.RepositoryURL == nil {
			found.add("CNB301", specPath.Child("repositoryUrl"), "", "is missing")
		}
	default:
		found.add("CNB000", specPath.Child("buildType"), spec.BuildType, "is not a build type")
		return
	}
	foreign(spec.FromImage != nil, "fromImage", imageImport)
	foreign(spec.RuntimeEnvironment != nil, "runtimeEnvironment", packageList)
	foreign(spec.BuilderImage != nil, "builderImage", packageList, gitRepository)
	foreign(spec.PackageVersions != nil, "packageVersions", packageList)
	foreign(spec.RepositoryURL != nil, "repositoryUrl", gitRepository)
	foreign(spec.GitRef != nil, "gitRef", gitRepository)
	if spec.BuildType == imageImport && spec.FromImage != nil {
		c.judgeImage(specPath.Child("fromImage"), *spec.FromImage, found)
	}
	if spec.BuildType != imageImport && spec.BuilderImage != nil {
		c.judgeImage(specPath.Child("builderImage"), *spec.BuilderImage, found)
	}
	if spec.ImagePullSecret != nil {
		if !isSubdomain(spec.ImagePullSecret.Name) {
			found.add("CNB113", specPath.Child("imagePullSecret", "name"), spec.ImagePullSecret.Name, "is no name of a Secret")
		}
		if spec.BuildType == gitRepository && spec.BuilderImage == nil {
			found.warn("CNB114", specPath.Child("imagePullSecret"), "", "no image is pulled with it")
		}
	}
	if spec.BuildType == gitRepository {
		if spec.RepositoryURL != nil {
			c.judgeRepository(*spec.RepositoryURL, found)
		}
		if spec.GitRef != nil && !isGitRef(*spec.GitRef) {
			found.add("CNB304", specPath.Child("gitRef"), *spec.GitRef, "is no ref")
		}
	}
}

func judgeAnnotations(annotations map[string]string, found *findings) {
	hasControl := func(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }
	if shown, ok := annotations[displayName]; ok {
		path := annotationsPath.Key(displayName)
		if strings.TrimSpace(shown) == "" {
			found.add("CNB010", path, shown, "is empty")
		} else if hasControl(shown) || !within(shown, 250) {
			found.add("CNB010", path, shown, "cannot be shown on one line")
		}
	}
	text := annotations[description]
	if strings.TrimSpace(text) == "" {
		if found.inForce("CNB011") {
			found.warnings = append(found.warnings, annotationsPath.Key(description).String()+": is missing (CNB011)")
		}
	} else if hasControl(text) || !within(text, 5500) {
		found.add("CNB011", annotationsPath.Key(description), text, "has control characters or is too long")
	}
	who, ok := annotations[creator]
	if !ok || strings.TrimSpace(who) == "" || hasControl(who) {
		found.add("CNB012", annotationsPath.Key(creator), who, "does not name anybody")
	}
}

// image is a parsed image reference that keeps the original spelling of the registry.
type image struct {
	reference.Named
	registry string
}

func (i *image) host() string { return reference.Domain(i.Named) }
func (i *image) path() string { return reference.Path(i.Named) }

func parseImage(text string) (*image, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, err
	}
	first, _, hasSlash := strings.Cut(text, "/")
	registry := ""
	if hasSlash && (strings.ContainsAny(first, ".:") || first == "localhost") {
		registry = first
	}
	return &image{named, registry}, nil
}

func (c *Config) pulledImage(spec *Spec) (*image, bool) {
	text := ""
	switch {
	case spec.BuildType == imageImport && spec.FromImage != nil:
		text = *spec.FromImage
	case spec.BuildType != imageImport && spec.BuilderImage != nil:
		text = *spec.BuilderImage
	case spec.BuildType == packageList && spec.RuntimeEnvironment != nil:
		text, _ = c.catalogImage(spec.RuntimeEnvironment)
	}
	parsed, err := parseImage(text)
	return parsed, err == nil
}

func (c *Config) judgeImage(path *field.Path, text string, found *findings) {
	if !within(text, 512) {
		found.add("CNB005", path, len(text), "is too long")
		return
	}
	parsed, err := parseImage(text)
	if err != nil {
		found.add("CNB102", path, "", "is no image reference")
		return
	}
	tagged, hasTag := parsed.Named.(reference.Tagged)
	_, hasDigest := parsed.Named.(reference.Digested)
	if !hasTag && !hasDigest {
		found.add("CNB103", path, text, "has neither tag nor digest")
	}
	if hasTag && !hasDigest && tagged.Tag() == "latest" {
		found.warn("CNB104", path, text, "the tag latest names another image tomorrow")
	}
	if parsed.registry == "" {
		found.warn("CNB105", path, text, "names no registry")
	}
	if len(c.Images.Allowed) == 0 {
		return
	}
	name := parsed.Name()
	for _, prefix := range c.Images.Allowed {
		prefix = strings.TrimSuffix(prefix, "/")
		if rest, ok := strings.CutPrefix(name, prefix); ok && (rest == "" || rest[0] == '/') {
			return
		}
	}
	found.add("CNB106", path, text, "comes from where no images are taken from")
}

func (c *Config) judgePackageList(spec *Spec, found *findings) {
	environment := spec.RuntimeEnvironment
	switch {
	case environment == nil && spec.BuilderImage == nil:
		found.add("CNB210", specPath.Child("runtimeEnvironment"), "", "is missing")
	case environment != nil && spec.BuilderImage != nil:
		found.add("CNB210", specPath.Child("builderImage"), "", "cannot stand beside runtimeEnvironment")
	}
	python := ""
	if environment != nil {
		python = environment.PythonVersion
		path := specPath.Child("runtimeEnvironment")
		complete := true
		for _, part := range []struct{ name, value string }{
			{"osName", environment.OSName}, {"osVersion", environment.OSVersion}, {"pythonVersion", environment.PythonVersion},
		} {
			if part.value == "" {
				complete = false
				found.add("CNB211", path.Child(part.name), "", "is missing")
			} else if !within(part.value, 63) {
				complete = false
				found.add("CNB005", path.Child(part.name), len(part.value), "is too long")
			}
		}
		if complete {
			if _, ok := c.catalogImage(environment); !ok {
				found.add("CNB212", path, "", "is not in the catalog")
			}
		}
	}
	if len(spec.PackageVersions) == 0 {
		found.add("CNB201", packagesPath, "", "has no items")
		return
	}
	if len(spec.PackageVersions) > 500 {
		found.add("CNB005", packagesPath, len(spec.PackageVersions), "has too many items")
		return
	}
	seen := make(map[string][]*requirement, len(spec.PackageVersions))
	for i, text := range spec.PackageVersions {
		if !within(text, 512) {
			found.add("CNB005", packagesPath.Index(i), len(text), "is too long")
			continue
		}
		r, err := parseRequirement(text)
		if err != nil {
			rule := "CNB202"
			if err == errOption || err == errFile || err == errBreak || err == errSeveral {
				rule = "CNB203"
			}
			found.add(rule, packagesPath.Index(i), text, err.Error())
			continue
		}
		name := normalizedName(r.name)
		for _, other := range seen[name] {
			if r.marker == nil || other.marker == nil || !disjoint(r.marker, other.marker) {
				found.add("CNB204", packagesPath.Index(i), text, "lists "+name+" again")
				break
			}
		}
		seen[name] = append(seen[name], r)
		if r.url != "" {
			judgeDirect(packagesPath.Index(i), r.url, text, found)
		}
		if contradict(r.specifiers) {
			found.add("CNB206", packagesPath.Index(i), text, "its specifiers contradict each other")
		}
		if r.marker != nil && r.marker.holds(python) == no {
			found.warn("CNB207", packagesPath.Index(i), text, "its marker never holds")
		}
	}
}

func judgeDirect(path *field.Path, text, item string, found *findings) {
	parsed, err := url.Parse(strings.TrimPrefix(text, "git+"))
	switch {
	case err != nil || parsed.Scheme != "https" || parsed.Host == "":
		found.add("CNB205", path, "", "is not fetched over https")
	case parsed.User != nil:
		found.add("CNB205", path, "", "carries credentials")
	case found.inForce("CNB205"):
		found.warnings = append(found.warnings, path.String()+": is fetched from a URL (CNB205)")
	}
}

func (c *Config) judgeRepository(text string, found *findings) {
	path := specPath.Child("repositoryUrl")
	if !within(text, 2048) {
		found.add("CNB005", path, len(text), "is too long")
		return
	}
	if text == "" || text[0] == '-' || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		found.add("CNB302", path, "", "is no clone URL")
		return
	}
	if !strings.Contains(text, "://") {
		// user@host:path
		host, file, ok := strings.Cut(text, ":")
		user, name, hasUser := strings.Cut(host, "@")
		if !ok || file == "" || strings.HasPrefix(file, ":") || !hasUser || user == "" || !isSubdomain(strings.ToLower(name)) {
			found.add("CNB302", path, "", "is no clone URL")
			return
		}
		text = "ssh://" + user + "@" + name + "/" + file
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || strings.Trim(parsed.Path, "/") == "" || parsed.RawQuery != "" || parsed.Fragment != "" ||
		parsed.Scheme != "https" && parsed.Scheme != "ssh" {
		found.add("CNB302", path, "", "is no clone URL")
		return
	}
	_, hasPassword := parsed.User.Password()
	if hasPassword || parsed.Scheme == "https" && parsed.User != nil {
		found.add("CNB303", path, text, "carries credentials")
		return
	}
	matches := func(entry string) bool { return entry == parsed.Host || entry == parsed.Hostname() }
	hasCredentials := false
	for _, entry := range c.Git.Credentials {
		hasCredentials = hasCredentials || matches(entry.Host)
	}
	isPublic := isPublicHost(parsed.Hostname())
	if (parsed.Scheme == "ssh" || !isPublic) && !hasCredentials {
		found.warn("CNB305", path, "", "there are no credentials for "+parsed.Host)
	}
	if len(c.Repositories.Allowed) > 0 {
		if !slices.ContainsFunc(c.Repositories.Allowed, matches) {
			found.add("CNB306", path, text, "the host is not an allowed one")
		}
	} else if !hasCredentials && (!isPublic || parsed.Scheme == "ssh") {
		found.add("CNB306", path, text, "the host is not a public https one")
	}
}

func isPublicHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsGlobalUnicast() && !address.IsPrivate()
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch last {
	case host, "cluster", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "private", "svc", "test":
		return false
	}
	return true
}

// isGitRef follows git-check-ref-format.
func isGitRef(ref string) bool {
	if ref == "" || ref == "@" || len(ref) > 255 || ref[0] == '-' || ref[len(ref)-1] == '.' ||
		strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.ContainsAny(ref, " ~^:?*[\\\x7f") {
		return false
	}
	for part := range strings.SplitSeq(ref, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(ref, func(r rune) bool { return r < 0x20 })
}
