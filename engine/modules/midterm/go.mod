module github.com/vito/midterm
