package hm
