module github.com/vito/bubbline
