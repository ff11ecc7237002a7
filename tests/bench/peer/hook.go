package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// hook sets defaults and validates.
type hook struct {
	// reader reads from the API server without a cache.
	reader client.Reader
	client client.Client
	config *Config
}

// Default sets defaults.
func (h *hook) Default(ctx context.Context, object *CustomNBImage) error {
	if object.DeletionTimestamp != nil {
		return nil
	}
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return err
	}
	old := &CustomNBImage{}
	isUpdate := len(request.OldObject.Raw) > 0
	if isUpdate {
		if err := json.Unmarshal(request.OldObject.Raw, old); err != nil {
			return err
		}
	}
	if object.Spec != nil && object.Spec.TargetNamespace == nil {
		switch {
		case isUpdate && old.Spec != nil && old.Spec.TargetNamespace != nil:
			object.Spec.TargetNamespace = old.Spec.TargetNamespace
		case isUpdate && reflect.DeepEqual(old.Spec, object.Spec):
		default:
			object.Spec.TargetNamespace = new(h.config.defaultTarget(request.Namespace))
		}
	}
	shown, requester := object.Name, request.UserInfo.Username
	if isUpdate {
		shown, requester = old.Annotations[displayName], old.Annotations[creator]
	}
	annotate := func(key, value string) {
		if _, isThere := object.Annotations[key]; isThere || value == "" {
			return
		}
		if object.Annotations == nil {
			object.Annotations = map[string]string{}
		}
		object.Annotations[key] = value
	}
	annotate(displayName, shown)
	annotate(creator, requester)
	return nil
}

// ValidateCreate validates a new resource.
func (h *hook) ValidateCreate(ctx context.Context, object *CustomNBImage) (admission.Warnings, error) {
	found, err := h.judge(ctx, object, nil)
	if err != nil {
		return nil, err
	}
	return found.answer(object)
}

// ValidateUpdate validates an update; errors that the stored resource already had are warnings.
func (h *hook) ValidateUpdate(ctx context.Context, old, object *CustomNBImage) (admission.Warnings, error) {
	sameSpec := reflect.DeepEqual(old.Spec, object.Spec)
	if object.DeletionTimestamp != nil && sameSpec {
		return nil, nil
	}
	if sameSpec && reflect.DeepEqual(old.Annotations, object.Annotations) {
		return nil, nil
	}
	found, err := h.judge(ctx, object, old)
	if err != nil {
		return nil, err
	}
	if len(found.errors) > 0 {
		before, err := h.judge(ctx, old, nil)
		if err != nil {
			return nil, err
		}
		found.forgive(before, sameSpec)
	}
	return found.answer(object)
}

// ValidateDelete is never called.
func (h *hook) ValidateDelete(context.Context, *CustomNBImage) (admission.Warnings, error) {
	return nil, nil
}

// judge applies all rules, those that read the cluster last.
func (h *hook) judge(ctx context.Context, object, old *CustomNBImage) (*findings, error) {
	found := &findings{config: h.config}
	h.config.judgeAlone(object, old, found)
	return found, h.judgeFacts(ctx, object, found)
}

func (h *hook) judgeFacts(ctx context.Context, object *CustomNBImage, found *findings) error {
	spec := object.Spec
	if spec == nil {
		return nil
	}
	target := h.config.defaultTarget(object.Namespace)
	if spec.TargetNamespace != nil {
		target = *spec.TargetNamespace
	}
	if isLabel(target) {
		if err := h.judgeTarget(ctx, object, target, found); err != nil {
			return err
		}
	}
	if spec.ImagePullSecret == nil || !isSubdomain(spec.ImagePullSecret.Name) {
		return nil
	}
	field := specPath.Child("imagePullSecret", "name")
	name := spec.ImagePullSecret.Name
	secret, err := h.secret(ctx, object.Namespace, name, "CNB110", found)
	switch {
	case err != nil:
		return err
	case secret == nil:
		found.add("CNB110", field, name, "namespace "+object.Namespace+" has no such Secret")
		return nil
	case !secret.isForRegistries:
		found.add("CNB111", field, name, "the Secret is not one for registries")
		return nil
	}
	image, ok := h.config.pulledImage(spec)
	if !ok {
		return nil
	}
	if !secret.answersFor(image) {
		found.warn("CNB112", field, name, "the Secret has no entry for "+image.host())
		return nil
	}
	if spec.BuildType != imageImport || h.config.PullSecrets.CopyToTarget || target == object.Namespace ||
		!isLabel(target) || !h.config.allowsTarget(target, object.Namespace) || !found.inForce("CNB115") {
		return nil
	}
	there, err := h.secret(ctx, target, name, "CNB115", found)
	if err == nil && (there == nil || !there.answersFor(image)) {
		found.warn("CNB115", specPath.Child("imagePullSecret"), "", "no Secret "+name+" in namespace "+target+" fits the image")
	}
	return err
}

func (h *hook) judgeTarget(ctx context.Context, object *CustomNBImage, target string, found *findings) error {
	if object.Name != "" && found.inForce("CNB004") && isStreamName(target, object.Name) {
		stream := &metav1.PartialObjectMetadata{}
		stream.SetGroupVersionKind(schema.GroupVersionKind{Group: "image.openshift.io", Version: "v1", Kind: "ImageStream"})
		err := h.reader.Get(ctx, client.ObjectKey{Namespace: target, Name: object.Name}, stream)
		switch {
		case err == nil && stream.Annotations[ownedBy] != object.Namespace+"/"+object.Name:
			found.add("CNB004", metadataPath.Child("name"), object.Name, "namespace "+target+" already has an ImageStream of that name")
		case err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err):
			return unreadable("ImageStream", err)
		}
	}
	field := specPath.Child("targetNamespace")
	if object.Spec.TargetNamespace != nil && target != h.config.defaultTarget(object.Namespace) && found.inForce("CNB022") {
		request, err := admission.RequestFromContext(ctx)
		if err != nil {
			return err
		}
		user := request.UserInfo
		extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
		for key, values := range user.Extra {
			extra[key] = authorizationv1.ExtraValue(values)
		}
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: "create", Group: "image.openshift.io", Resource: "imagestreams", Namespace: target,
			},
		}}
		if err := h.client.Create(ctx, review); err != nil {
			return unreadable("SubjectAccessReview", err)
		}
		if !review.Status.Allowed {
			found.add("CNB022", field, target, "you may not create ImageStreams there")
		}
	}
	if target != object.Namespace && found.inForce("CNB023") {
		err := h.reader.Get(ctx, client.ObjectKey{Name: target}, &corev1.Namespace{})
		if apierrors.IsNotFound(err) {
			found.warn("CNB023", field, target, "there is no namespace "+target+" yet")
		} else if err != nil {
			return unreadable("Namespace", err)
		}
	}
	return nil
}

// secret reads a Secret; nil if it does not exist.
func (h *hook) secret(ctx context.Context, namespace, name, rule string, found *findings) (*pullSecret, error) {
	secret := &corev1.Secret{}
	err := h.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable("Secret", err)
	}
	return readPullSecret(secret), nil
}

func unreadable(kind string, err error) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("%s could not be read: %v", kind, apierrors.ReasonForError(err)))
}
