// Two registries in memory that have the referrers API, for tests: `registries KIND HOST:PORT`.
//
// "subject" names the subject of what it is given in the OCI-Subject header, as the specification has
// it; "silent" does not, as go-containerregistry's does not.
package main

import (
	"log"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	kinds := map[string]http.Handler{
		"subject": ociserver.New(ocimem.New(), nil),
		"silent":  registry.New(registry.WithReferrersSupport(true)),
	}
	log.Fatal(http.ListenAndServe(os.Args[2], kinds[os.Args[1]]))
}
