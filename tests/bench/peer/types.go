package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var groupVersion = schema.GroupVersion{Group: "meteor.zone", Version: "v1alpha1"}

const (
	imageImport   = "ImageImport"
	packageList   = "PackageList"
	gitRepository = "GitRepository"

	displayName = "opendatahub.io/notebook-image-name"
	description = "opendatahub.io/notebook-image-desc"
	creator     = "opendatahub.io/notebook-image-creator"
	ownedBy     = "meteor.zone/owned-by"
)

// CustomNBImage is a request for a notebook image.
type CustomNBImage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   *Spec                `json:"spec,omitempty"`
	Status runtime.RawExtension `json:"status,omitzero"`
}

// Spec is the spec of a resource. Pointers distinguish absent from empty.
type Spec struct {
	BuildType          string              `json:"buildType,omitempty"`
	FromImage          *string             `json:"fromImage,omitempty"`
	ImagePullSecret    *SecretReference    `json:"imagePullSecret,omitempty"`
	RuntimeEnvironment *RuntimeEnvironment `json:"runtimeEnvironment,omitempty"`
	BuilderImage       *string             `json:"builderImage,omitempty"`
	PackageVersions    []string            `json:"packageVersions,omitempty"`
	RepositoryURL      *string             `json:"repositoryUrl,omitempty"`
	GitRef             *string             `json:"gitRef,omitempty"`
	TargetNamespace    *string             `json:"targetNamespace,omitempty"`
}

// SecretReference names a Secret in the resource's namespace.
type SecretReference struct {
	Name string `json:"name,omitempty"`
}

// RuntimeEnvironment selects an image of the catalog.
type RuntimeEnvironment struct {
	OSName        string `json:"osName,omitempty"`
	OSVersion     string `json:"osVersion,omitempty"`
	PythonVersion string `json:"pythonVersion,omitempty"`
}

// DeepCopyObject is written by hand instead of by controller-gen.
func (in *CustomNBImage) DeepCopyObject() runtime.Object {
	out := &CustomNBImage{TypeMeta: in.TypeMeta}
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Status.DeepCopyInto(&out.Status)
	if in.Spec != nil {
		out.Spec = in.Spec.deepCopy()
	}
	return out
}

func (in *Spec) deepCopy() *Spec {
	out := *in
	for _, field := range []**string{&out.FromImage, &out.BuilderImage, &out.RepositoryURL, &out.GitRef, &out.TargetNamespace} {
		if *field != nil {
			*field = new(**field)
		}
	}
	if in.ImagePullSecret != nil {
		out.ImagePullSecret = new(*in.ImagePullSecret)
	}
	if in.RuntimeEnvironment != nil {
		out.RuntimeEnvironment = new(*in.RuntimeEnvironment)
	}
	out.PackageVersions = append([]string(nil), in.PackageVersions...)
	return &out
}

func addToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(groupVersion, &CustomNBImage{})
	metav1.AddToGroupVersion(scheme, groupVersion)
	return nil
}
