package dang
