module github.com/vito/tuist
