module github.com/dagger/dagger/engine/distconsts
