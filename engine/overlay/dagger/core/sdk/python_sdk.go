package sdk

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/dagger/dagger/core"
	"github.com/dagger/dagger/dagql"
	"github.com/dagger/dagger/engine"
	telemetry "github.com/dagger/otel-go"
	"github.com/iancoleman/strcase"
	"github.com/pelletier/go-toml"
)

const (
	pythonDefaultVersion = "3.13"
	pythonUvVersion      = "0.13.9"
	pythonUvDir          = "/uv"
	pythonSourceDir      = "/src"
	pythonRuntime        = "/runtime"
	pythonCacheDir       = "/root/.cache"
	pythonVendorDir      = "sdk" // in the module's source
	pythonBindings       = "src/dagger/client/gen.py"
	pythonDepsDir        = "/deps"
	pythonCodegenDir     = "/codegen"
	pythonCodegenDeps    = "/opt/codegen"
	pythonCodegenNeeds   = "graphql-core>=3.2.3,<3.3" // as the generator's own lock file; the client takes newer ones
	pythonSchemaPath     = "/schema.json"
	pythonGenerated      = "/gen.py"
	pythonEntrypoint     = `#!/usr/bin/env python

import sys

from dagger.mod.cli import app

if __name__ == "__main__":
    sys.exit(app(None, "--register" in sys.argv[1:]))
`
)

// What an official engine removes from a module's source before it vendors the SDK.
var pythonExcluded = []string{".venv", pythonVendorDir}

// What an installation installs as editable it does not compile, and each call would.
var pythonCompile = []string{"python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"}

// The SDK and its generator of bindings, from the same release as the engine; the build puts them here.
//
//go:embed all:python
var pythonFiles embed.FS

// pythonSDK runs Python modules as an official engine does, step by step, without what is bundled with the image
// of an official engine: uv and the generator's dependencies are Python packages, the SDK is part of this program.
type pythonSDK struct {
	root *core.Query
}

// pythonProject is what the runtime reads of a module's pyproject.toml.
type pythonProject struct {
	Project struct {
		Name           string   `toml:"name"`
		RequiresPython string   `toml:"requires-python"`
		Dynamic        []string `toml:"dynamic"`
	} `toml:"project"`
	Tool struct {
		Dagger struct {
			BaseImage string `toml:"base-image"`
			UseUv     *bool  `toml:"use-uv"`
			UvVersion string `toml:"uv-version"`
		} `toml:"dagger"`
	} `toml:"tool"`
}

func (sdk *pythonSDK) AsRuntime() (core.Runtime, bool)                 { return sdk, true }
func (sdk *pythonSDK) AsModuleTypes() (core.ModuleTypes, bool)         { return nil, false }
func (sdk *pythonSDK) AsCodeGenerator() (core.CodeGenerator, bool)     { return sdk, true }
func (sdk *pythonSDK) AsClientGenerator() (core.ClientGenerator, bool) { return nil, false }

func (sdk *pythonSDK) CloneForModuleSource(*core.ModuleSource) core.SDK {
	cp := *sdk
	return &cp
}

func (sdk *pythonSDK) AttachDependencyResults(
	context.Context, func(dagql.AnyResult) (dagql.AnyResult, error),
) ([]dagql.AnyResult, error) {
	return nil, nil
}

// Runtime vendors the SDK into the module's source, with bindings made from the module's own schema, and installs
// both. The layers before the source depend on their own inputs alone: uv on the image, the dependencies on
// pyproject.toml, the bindings on the schema.
func (sdk *pythonSDK) Runtime(
	ctx context.Context, deps *core.SchemaBuilder, source dagql.ObjectResult[*core.ModuleSource],
) (_ core.ModuleRuntime, rerr error) {
	ctx, span := core.Tracer(ctx).Start(ctx, "python SDK: load runtime")
	defer telemetry.EndWithCause(span, &rerr)

	build, err := sdk.load(ctx, deps, source, "runtime")
	if err != nil {
		return nil, fmt.Errorf("python SDK: module %q: %w", source.Self().ModuleOriginalName, err)
	}
	src := build.src
	context := build.context(build.compiled(build.vendored()))
	ctr := build.install(build.dependencies(), context)
	if build.err != nil {
		return nil, fmt.Errorf("python SDK: install module %q: %w", src.ModuleOriginalName, build.err)
	}
	// Install now: a failure later would be taken for one of the module's own code.
	results, err := dagql.EngineCache(ctx)
	if err != nil {
		return nil, err
	}
	if err := results.Evaluate(ctx, ctr); err != nil {
		return nil, fmt.Errorf("python SDK: install module %q: %w", src.ModuleOriginalName, err)
	}
	return &core.ContainerRuntime{Container: ctr}, nil
}

// Codegen vendors the SDK into the module's source, where editors and type checkers look for it.
func (sdk *pythonSDK) Codegen(
	ctx context.Context, deps *core.SchemaBuilder, source dagql.ObjectResult[*core.ModuleSource],
) (_ *core.GeneratedCode, rerr error) {
	ctx, span := core.Tracer(ctx).Start(ctx, "python SDK: generate code")
	defer telemetry.EndWithCause(span, &rerr)

	build, err := sdk.load(ctx, deps, source, "codegen")
	if err != nil {
		return nil, fmt.Errorf("python SDK: module %q: %w", source.Self().ModuleOriginalName, err)
	}
	code := build.context(build.vendored())
	if build.err != nil {
		return nil, fmt.Errorf("python SDK: generate code of module %q: %w", build.src.ModuleOriginalName, build.err)
	}
	return &core.GeneratedCode{
		Code:              code,
		VCSGeneratedPaths: []string{pythonVendorDir + "/**"},
		VCSIgnoredPaths:   []string{".venv", "**/__pycache__", pythonVendorDir},
	}, nil
}

// load reads what a module is and makes the parts that both operations need.
func (sdk *pythonSDK) load(
	ctx context.Context, deps *core.SchemaBuilder, source dagql.ObjectResult[*core.ModuleSource], operation string,
) (*pythonBuild, error) {
	dag, err := sdk.root.Server.Server(ctx)
	if err != nil {
		return nil, err
	}
	source, err = scopeSourceForSDKOperation(ctx, source, operation, dag)
	if err != nil {
		return nil, fmt.Errorf("scope module source: %w", err)
	}
	build := &pythonBuild{ctx: dagql.WithNonInternalTelemetry(ctx), dag: dag, src: source.Self()}
	build.source = build.directory(&build.src.ContextDirectory, build.excluded()...)
	if build.err != nil {
		return nil, build.err
	}
	if build.files, build.project, err = readPythonProject(ctx, dag, build.src, build.source); err != nil {
		return nil, err
	}
	digest, err := build.src.SourceImplementationDigest(ctx)
	if err != nil {
		return nil, fmt.Errorf("digest of the module source: %w", err)
	}
	build.root = path.Join(pythonSourceDir, digest.String())
	schema, err := deps.SchemaIntrospectionJSONFileForModule(ctx)
	if err != nil {
		return nil, fmt.Errorf("introspection schema: %w", err)
	}
	schemaID, err := schema.ID()
	if err != nil {
		return nil, err
	}
	build.schema = dagql.NewID[*core.File](schemaID)
	build.sdk = build.directory(nil, pythonSources()...)
	build.base = build.python()
	return build, build.err
}

type (
	pythonContainer = dagql.ObjectResult[*core.Container]
	pythonDirectory = dagql.ObjectResult[*core.Directory]
)

// pythonBuild makes the parts of a module's container; after an error, which it keeps, it makes no more.
type pythonBuild struct {
	ctx     context.Context
	dag     *dagql.Server
	src     *core.ModuleSource
	source  pythonDirectory   // the context, without what is excluded
	files   map[string]string // that decide the installation
	project pythonProject
	root    string // where the source is mounted
	schema  dagql.ID[*core.File]
	sdk     pythonDirectory // without bindings
	base    pythonContainer
	err     error
}

// python is Python with uv beside it, and not among its packages.
func (build *pythonBuild) python() pythonContainer {
	image := build.project.image(build.files)
	python := []dagql.Selector{
		pick("from", "address", dagql.String(image)),
		pythonEnv("DAGGER_BASE_IMAGE", image),
		pythonEnv("PYTHONUNBUFFERED", "1"), pythonEnv("PIP_DISABLE_PIP_VERSION_CHECK", "1"), pythonEnv("PIP_ROOT_USER_ACTION", "ignore"),
	}
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"} {
		python = append(python, pick("__withSystemEnvVariable", "name", dagql.String(name)))
	}
	python = append(python, build.cache())
	version := cmp.Or(build.project.Tool.Dagger.UvVersion, pythonUvVersion)
	installer := build.container(nil, append(slices.Clone(python), pythonExec("pip", "install", "--target", pythonUvDir, "uv=="+version))...)
	for _, name := range []string{"uv", "uvx"} {
		python = append(python, pick("withMountedFile", "path", dagql.String("/usr/local/bin/"+name), "source", build.file(installer, path.Join(pythonUvDir, "bin", name))))
	}
	return build.container(nil, append(python,
		pythonEnv("DAGGER_UV_VERSION", version),
		pythonEnv("UV_SYSTEM_PYTHON", "1"), pythonEnv("UV_LINK_MODE", "copy"), pythonEnv("UV_NATIVE_TLS", "1"),
		pythonEnv("UV_PROJECT_ENVIRONMENT", "/opt/venv"),
	)...)
}

// vendored is the SDK with the client that is generated from the module's schema.
func (build *pythonBuild) vendored() pythonDirectory {
	generator := build.container(&build.base,
		pythonExec("uv", "pip", "install", "--target", pythonCodegenDeps, pythonCodegenNeeds),
		pick("withMountedDirectory", "path", dagql.String(pythonCodegenDir), "source", build.id(build.sdk)),
		pythonEnv("PYTHONPATH", pythonCodegenDir+"/codegen/src:"+pythonCodegenDeps),
		pick("withMountedFile", "path", dagql.String(pythonSchemaPath), "source", build.schema),
		pythonExec("python", "-m", "codegen", "generate", "-i", pythonSchemaPath, "-o", pythonGenerated),
	)
	bindings := build.file(generator, pythonGenerated)
	return build.directory(&build.sdk, pick("withFile", "path", dagql.String(pythonBindings), "source", bindings))
}

// compiled is the vendored SDK with its bytecode.
func (build *pythonBuild) compiled(vendored pythonDirectory) (dir pythonDirectory) {
	compiler := build.container(&build.base,
		pick("withDirectory", "path", dagql.String("/sdk"), "source", build.id(vendored)),
		pythonExec(append(pythonCompile, "/sdk/src")...),
	)
	build.selects(compiler, &dir, pick("directory", "path", dagql.String("/sdk")))
	return dir
}

// excluded removes what would come in the way of the installation.
func (build *pythonBuild) excluded() (steps []dagql.Selector) {
	for _, name := range pythonExcluded {
		steps = append(steps, pick("withoutDirectory", "path", dagql.String(path.Join(build.src.SourceSubpath, name))))
	}
	return steps
}

// context is the module's source with the SDK in it.
func (build *pythonBuild) context(vendored pythonDirectory) pythonDirectory {
	vendor := path.Join(build.src.SourceSubpath, pythonVendorDir)
	return build.directory(&build.source, pick("withDirectory", "path", dagql.String(vendor), "source", build.id(vendored)))
}

// dependencies installs what the module and the SDK need, with nothing of the module but pyproject.toml.
func (build *pythonBuild) dependencies() pythonContainer {
	if !build.project.useUv() || !build.project.staticDependencies() {
		return build.base
	}
	// The cache of uv goes by path and outlives an engine, whose next release brings another SDK.
	dir := path.Join(pythonDepsDir, engine.Version)
	vendor := path.Join(dir, pythonVendorDir)
	return build.container(&build.base,
		pick("withMountedDirectory", "path", dagql.String(vendor), "source", build.id(build.sdk)),
		pick("withMountedFile", "path", dagql.String(path.Join(dir, "pyproject.toml")), "source", build.newFile("pyproject.toml", build.files["pyproject.toml"])),
		pick("withWorkdir", "path", dagql.String(dir)),
		pythonEnv("UV_COMPILE_BYTECODE", "1"),
		pythonExec("uv", "pip", "install", "./"+pythonVendorDir, "-r", "pyproject.toml"),
		pick("withoutMount", "path", dagql.String(path.Join(dir, "pyproject.toml"))),
		pick("withoutMount", "path", dagql.String(vendor)),
	)
}

// install installs the SDK and the module in place and checks that all requirements are met.
func (build *pythonBuild) install(ctr pythonContainer, context pythonDirectory) pythonContainer {
	root, src := build.root, build.src
	steps := []dagql.Selector{
		pick("withNewFile", "path", dagql.String(pythonRuntime), "contents", dagql.String(pythonEntrypoint), "permissions", dagql.Int(0o755)),
		pick("withEntrypoint", "args", pythonArgs(pythonRuntime)),
		pick("withWorkdir", "path", dagql.String(path.Join(root, src.SourceSubpath))),
		pick("withMountedDirectory", "path", dagql.String(root), "source", build.id(context)),
		pythonEnv("DAGGER_MODULE", src.ModuleOriginalName),
		pythonEnv("DAGGER_DEFAULT_PYTHON_PACKAGE", strcase.ToSnake(build.project.Project.Name)),
		pythonEnv("DAGGER_MAIN_OBJECT", strcase.ToCamel(src.ModuleOriginalName)),
		pythonEnv("UV_COMPILE_BYTECODE", "1"),
		pythonExec(build.project.command("pip", "install", "-e", "./"+pythonVendorDir, "-e", ".")...),
		pythonExec(build.project.command("pip", "check")...),
		// A module may have files that do not compile, as data.
		pick("withExec", "args", pythonArgs(append(pythonCompile, ".")...), "expect", core.ReturnAny),
		pick("withWorkdir", "path", dagql.String(RuntimeWorkdirPath)),
	}
	if src.SDK != nil && src.SDK.Debug {
		steps = append(steps, pick("terminal"))
	}
	return build.container(&ctr, steps...)
}

func (build *pythonBuild) selects(self dagql.AnyObjectResult, into any, steps ...dagql.Selector) {
	if build.err == nil {
		build.err = build.dag.Select(build.ctx, self, into, steps...)
	}
}

// container is a container, or a new one, after some steps.
func (build *pythonBuild) container(from *pythonContainer, steps ...dagql.Selector) (ctr pythonContainer) {
	if from == nil {
		build.selects(build.dag.Root(), &ctr, append([]dagql.Selector{pick("container")}, steps...)...)
	} else {
		build.selects(*from, &ctr, steps...)
	}
	return ctr
}

// directory is a directory, or a new one, after some steps.
func (build *pythonBuild) directory(from *pythonDirectory, steps ...dagql.Selector) (dir pythonDirectory) {
	if from == nil {
		build.selects(build.dag.Root(), &dir, append([]dagql.Selector{pick("directory")}, steps...)...)
	} else {
		build.selects(*from, &dir, steps...)
	}
	return dir
}

func (build *pythonBuild) id(dir pythonDirectory) dagql.ID[*core.Directory] {
	if build.err != nil {
		return dagql.ID[*core.Directory]{}
	}
	id, err := dir.ID()
	build.err = err
	return dagql.NewID[*core.Directory](id)
}

func (build *pythonBuild) fileID(file dagql.ObjectResult[*core.File]) dagql.ID[*core.File] {
	if build.err != nil {
		return dagql.ID[*core.File]{}
	}
	id, err := file.ID()
	build.err = err
	return dagql.NewID[*core.File](id)
}

// file is a file of a container.
func (build *pythonBuild) file(ctr pythonContainer, name string) dagql.ID[*core.File] {
	var file dagql.ObjectResult[*core.File]
	build.selects(ctr, &file, pick("file", "path", dagql.String(name)))
	return build.fileID(file)
}

func (build *pythonBuild) newFile(name, contents string) dagql.ID[*core.File] {
	var file dagql.ObjectResult[*core.File]
	build.selects(build.dag.Root(), &file, pick("file", "name", dagql.String(name), "contents", dagql.String(contents)))
	return build.fileID(file)
}

// cache mounts the caches of uv and pip, which all modules share.
func (build *pythonBuild) cache() dagql.Selector {
	var volume dagql.ObjectResult[*core.CacheVolume]
	build.selects(build.dag.Root(), &volume, pick("cacheVolume", "key", dagql.String("modpython"), "namespace", dagql.String("internal")))
	if build.err != nil {
		return dagql.Selector{}
	}
	id, err := volume.ID()
	build.err = err
	return pick("withMountedCache", "path", dagql.String(pythonCacheDir), "cache", dagql.NewID[*core.CacheVolume](id))
}

// pythonSources adds the SDK's files to a directory.
func pythonSources() (steps []dagql.Selector) {
	err := fs.WalkDir(pythonFiles, "python", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contents, err := pythonFiles.ReadFile(name)
		steps = append(steps, pick("withNewFile", "path", dagql.String(strings.TrimPrefix(name, "python/")), "contents", dagql.String(contents)))
		return err
	})
	if err != nil {
		panic(err) // what is compiled in can be read
	}
	return steps
}

// readPythonProject returns the files that decide the installation, and pyproject.toml parsed.
func readPythonProject(
	ctx context.Context, dag *dagql.Server, src *core.ModuleSource, source pythonDirectory,
) (map[string]string, pythonProject, error) {
	var project pythonProject
	var entries dagql.Array[dagql.String]
	dir := pick("directory", "path", dagql.String(src.SourceSubpath))
	if err := dag.Select(ctx, source, &entries, dir, pick("entries")); err != nil {
		return nil, project, err
	}
	files := map[string]string{}
	for _, name := range []string{"pyproject.toml", ".python-version"} {
		if !slices.Contains(entries, dagql.String(name)) {
			continue
		}
		var contents string
		if err := dag.Select(ctx, source, &contents, dir, pick("file", "path", dagql.String(name)), pick("contents")); err != nil {
			return nil, project, err
		}
		files[name] = contents
	}
	if _, ok := files["pyproject.toml"]; !ok {
		return nil, project, fmt.Errorf("no pyproject.toml in %q", src.SourceSubpath)
	}
	if err := toml.Unmarshal([]byte(files["pyproject.toml"]), &project); err != nil {
		return nil, project, fmt.Errorf("pyproject.toml: %w", err)
	}
	// As an official engine asks; the second half of the pattern finds a file in any folder.
	var sources dagql.Array[dagql.String]
	if err := dag.Select(ctx, source, &sources, dir, pick("glob", "pattern", dagql.String("src/**/*.py|*.py"))); err != nil {
		return nil, project, err
	}
	if len(sources) == 0 {
		return nil, project, fmt.Errorf("no python files found in %q", src.SourceSubpath)
	}
	project.Project.Name = cmp.Or(project.Project.Name, strcase.ToKebab(src.ModuleOriginalName))
	return files, project, nil
}

// image is the Python image: the module's own choice, its pinned version, its lowest version, or the default.
func (project pythonProject) image(files map[string]string) string {
	if project.Tool.Dagger.BaseImage != "" {
		return project.Tool.Dagger.BaseImage
	}
	version := strings.TrimSpace(files[".python-version"])
	lowest, plain := strings.CutPrefix(strings.TrimSpace(project.Project.RequiresPython), ">=")
	switch {
	case version != "":
	case plain && !strings.ContainsAny(lowest, ",<>=!~"):
		version = strings.TrimSpace(lowest)
	default:
		version = pythonDefaultVersion
	}
	return "python:" + version + "-slim"
}

func (project pythonProject) useUv() bool {
	return project.Tool.Dagger.UseUv == nil || *project.Tool.Dagger.UseUv
}

// command is a pip command, which uv runs unless the module says otherwise.
func (project pythonProject) command(args ...string) []string {
	if project.useUv() {
		return append([]string{"uv"}, args...)
	}
	return args
}

// staticDependencies tells whether pyproject.toml alone says what the module needs.
func (project pythonProject) staticDependencies() bool {
	return !slices.Contains(project.Project.Dynamic, "dependencies")
}

// pick is one selection; its arguments alternate names and values.
func pick(field string, args ...any) dagql.Selector {
	sel := dagql.Selector{Field: field}
	for i := 0; i < len(args); i += 2 {
		sel.Args = append(sel.Args, dagql.NamedInput{Name: args[i].(string), Value: args[i+1].(dagql.Input)})
	}
	return sel
}

func pythonEnv(name, value string) dagql.Selector {
	return pick("withEnvVariable", "name", dagql.String(name), "value", dagql.String(value))
}

func pythonArgs(args ...string) dagql.ArrayInput[dagql.String] {
	return dagql.ArrayInput[dagql.String](dagql.NewStringArray(args...))
}

func pythonExec(args ...string) dagql.Selector {
	return pick("withExec", "args", pythonArgs(args...))
}
