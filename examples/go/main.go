// Build a Rust project for two platforms from Go, add a file to one of them, publish both as one image.
//
// `dagger client install go ./dagger` in this directory generates the package `dagger` from dagger.json.
package main

import (
	"context"
	"fmt"
	"os"

	"example.com/caller/dagger"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: caller ghcr.io/me/app:1.2.3")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string) error {
	client, err := dagger.Connect(ctx, dagger.WithLogOutput(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()

	image := client.RustMultiarch(dagger.RustMultiarchOpts{
		Source:    client.Host().Directory("."),
		Platforms: []string{"linux/amd64", "linux/arm64"},
		Ports:     []int{8080},
	}).Build()
	arm := image.Variant("linux/arm64").Container().WithNewFile("/etc/motd", "hello from arm64\n")
	published, err := image.WithVariant("linux/arm64", arm).Publish(ctx, address, dagger.RustMultiarchImagePublishOpts{
		Tags: []string{"latest"},
	})
	if err != nil {
		return err
	}
	fmt.Println(published)
	return nil
}
