// Command kubernetes reads YAML documents from standard input and decodes each strictly into the Kubernetes type that
// its apiVersion and kind name: an unknown field, or a value of another type, is an error.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	kustomize "sigs.k8s.io/kustomize/api/types"
	strict "sigs.k8s.io/yaml"
)

type kind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

var types = map[kind]func() any{
	{"apps/v1", "Deployment"}: func() any { return &appsv1.Deployment{} },
	{"v1", "Service"}:         func() any { return &corev1.Service{} },
	{"kustomize.config.k8s.io/v1beta1", "Kustomization"}: func() any { return &kustomize.Kustomization{} },
}

func check(document []byte) error {
	var of kind
	if err := strict.Unmarshal(document, &of); err != nil {
		return err
	}
	made, known := types[of]
	if !known {
		return fmt.Errorf("unknown type %q %q", of.APIVersion, of.Kind)
	}
	return strict.UnmarshalStrict(document, made())
}

func main() {
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = check(document)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
