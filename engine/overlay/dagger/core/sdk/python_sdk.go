package sdk

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dagger/dagger/core"
	"github.com/dagger/dagger/dagql"
	"github.com/dagger/dagger/dagql/call"
	"github.com/dagger/dagger/engine"
	telemetry "github.com/dagger/otel-go"
	"github.com/iancoleman/strcase"
	"github.com/pelletier/go-toml"
)

const (
	pythonDefaultVersion = "3.13"
	pythonUvVersion      = "0.13.9"
	pythonSourceDir      = "/src"
	pythonCacheDir       = "/root/.cache"
	pythonCodegenDir     = "/codegen"
	pythonCodegenDeps    = "/opt/codegen"
	pythonCodegenNeeds   = "graphql-core>=3.2.3,<3.3" // as the generator's own lock file; the client takes newer ones
	pythonSchemaPath     = "/schema.json"
	pythonEntrypoint     = "import sys; from dagger.mod.cli import app; sys.exit(app())"
	// Replaces the client that dagger-io ships with one that also knows the module's dependencies.
	pythonCodegen = "import importlib.util as u, subprocess, sys; " +
		"out = u.find_spec('dagger').submodule_search_locations[0] + '/client/gen.py'; " +
		"subprocess.run([sys.executable, '-m', 'codegen', 'generate', '-i', '" + pythonSchemaPath + "', '-o', out], check=True); " +
		"import py_compile; py_compile.compile(out, doraise=True)"
)

// The generator of Python clients, from the same release as the engine; the build puts it here.
//
//go:embed all:codegen
var pythonCodegenFiles embed.FS

// pythonSDK runs Python modules in a container made from a plain Python image: it installs the engine's own
// release of dagger-io and the module, and needs nothing that is bundled with the official engine image.
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
func (sdk *pythonSDK) AsCodeGenerator() (core.CodeGenerator, bool)     { return nil, false }
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

// Runtime builds the container in layers: Python and the installer; the dependencies, keyed by pyproject.toml
// alone; the client bindings, only when the module has dependencies; the module itself.
func (sdk *pythonSDK) Runtime(
	ctx context.Context, deps *core.SchemaBuilder, source dagql.ObjectResult[*core.ModuleSource],
) (_ core.ModuleRuntime, rerr error) {
	ctx, span := core.Tracer(ctx).Start(ctx, "python SDK: load runtime")
	defer telemetry.EndWithCause(span, &rerr)

	dag, err := sdk.root.Server.Server(ctx)
	if err != nil {
		return nil, fmt.Errorf("python SDK: %w", err)
	}
	source, err = scopeSourceForSDKOperation(ctx, source, "runtime", dag)
	if err != nil {
		return nil, fmt.Errorf("python SDK: scope module source: %w", err)
	}
	src := source.Self()
	files, project, err := readPythonProject(ctx, dag, src)
	if err != nil {
		return nil, fmt.Errorf("python SDK: module %q: %w", src.ModuleOriginalName, err)
	}
	var cache dagql.ObjectResult[*core.CacheVolume]
	err = dag.Select(ctx, dag.Root(), &cache, pick("cacheVolume", "key", dagql.String("modpython"), "namespace", dagql.String("internal")))
	if err != nil {
		return nil, fmt.Errorf("python SDK: cache volume: %w", err)
	}
	cacheID, err := cache.ID()
	if err != nil {
		return nil, err
	}
	contextID, err := src.ContextDirectory.ID()
	if err != nil {
		return nil, err
	}

	steps := []dagql.Selector{pick("container"), pick("from", "address", dagql.String(project.image(files)))}
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"} {
		steps = append(steps, pick("__withSystemEnvVariable", "name", dagql.String(name)))
	}
	steps = append(steps,
		pythonEnv("PYTHONUNBUFFERED", "1"), pythonEnv("PIP_DISABLE_PIP_VERSION_CHECK", "1"), pythonEnv("PIP_ROOT_USER_ACTION", "ignore"),
		pythonEnv("UV_SYSTEM_PYTHON", "1"), pythonEnv("UV_LINK_MODE", "copy"), pythonEnv("UV_SYSTEM_CERTS", "1"),
		pythonEnv("UV_COMPILE_BYTECODE", "1"), pythonEnv("UV_NO_SOURCES_PACKAGE", "dagger-io"),
		pick("withMountedCache", "path", dagql.String(pythonCacheDir), "cache", dagql.NewID[*core.CacheVolume](cacheID)),
	)
	dir := path.Join(pythonSourceDir, src.SourceSubpath)
	steps = append(steps, pick("withWorkdir", "path", dagql.String(dir)))
	steps = append(steps, project.installDependencies(dir, files)...)
	if len(src.Dependencies) > 0 {
		generate, err := project.bindings(ctx, dag, deps)
		if err != nil {
			return nil, fmt.Errorf("python SDK: client bindings: %w", err)
		}
		steps = append(steps, generate...)
	}
	steps = append(steps,
		pick("withMountedDirectory", "path", dagql.String(pythonSourceDir), "source", dagql.NewID[*core.Directory](contextID)),
		pythonEnv("DAGGER_MODULE", src.ModuleOriginalName),
		pythonEnv("DAGGER_DEFAULT_PYTHON_PACKAGE", strcase.ToSnake(project.Project.Name)),
		pythonEnv("DAGGER_MAIN_OBJECT", strcase.ToCamel(src.ModuleOriginalName)),
		pythonExec(project.installModule()...),
		pick("withoutMount", "path", dagql.String(pythonCacheDir)),
		pick("withWorkdir", "path", dagql.String(RuntimeWorkdirPath)),
		pick("withEntrypoint", "args", pythonArgs("python", "-c", pythonEntrypoint)),
	)
	if src.SDK != nil && src.SDK.Debug {
		steps = append(steps, pick("terminal"))
	}
	var ctr dagql.ObjectResult[*core.Container]
	if err := dag.Select(dagql.WithNonInternalTelemetry(ctx), dag.Root(), &ctr, steps...); err != nil {
		return nil, fmt.Errorf("python SDK: install module %q: %w", src.ModuleOriginalName, err)
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

// readPythonProject returns the files that decide the installation, and pyproject.toml parsed.
func readPythonProject(ctx context.Context, dag *dagql.Server, src *core.ModuleSource) (map[string]string, pythonProject, error) {
	var project pythonProject
	var entries dagql.Array[dagql.String]
	dir := pick("directory", "path", dagql.String(src.SourceSubpath))
	if err := dag.Select(ctx, src.ContextDirectory, &entries, dir, pick("entries")); err != nil {
		return nil, project, err
	}
	files := map[string]string{}
	for _, name := range []string{"pyproject.toml", ".python-version"} {
		if !slices.Contains(entries, dagql.String(name)) {
			continue
		}
		var contents string
		if err := dag.Select(ctx, src.ContextDirectory, &contents, dir, pick("file", "path", dagql.String(name)), pick("contents")); err != nil {
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

// install is the command that installs packages.
func (project pythonProject) install(args ...string) []string {
	command := []string{"pip", "install"}
	if project.useUv() {
		command = []string{"uv", "pip", "install"}
	}
	return append(command, args...)
}

// staticDependencies tells whether pyproject.toml alone says what the module needs.
func (project pythonProject) staticDependencies() bool {
	return !slices.Contains(project.Project.Dynamic, "dependencies")
}

// installDependencies installs dagger-io and what pyproject.toml names, with only that file present.
func (project pythonProject) installDependencies(dir string, files map[string]string) []dagql.Selector {
	client := "dagger-io==" + strings.TrimPrefix(engine.Version, "v")
	if !project.useUv() {
		return []dagql.Selector{pythonExec("pip", "install", client)}
	}
	install := []string{"uv", "pip", "install", client}
	if project.staticDependencies() {
		install = append(install, "-r", "pyproject.toml")
	}
	return []dagql.Selector{
		pythonExec("pip", "install", "uv=="+cmp.Or(project.Tool.Dagger.UvVersion, pythonUvVersion)),
		pick("withNewFile", "path", dagql.String(path.Join(dir, "pyproject.toml")), "contents", dagql.String(files["pyproject.toml"])),
		pythonExec(install...),
	}
}

// installModule installs the module's package in place. The build is not taken from uv's cache, which goes by
// path: every module is at the same one.
func (project pythonProject) installModule() []string {
	if !project.useUv() {
		return []string{"pip", "install", "-e", "."}
	}
	install := []string{"uv", "pip", "install", "--refresh-package", project.Project.Name, "-e", "."}
	if project.staticDependencies() {
		install = append(install, "--no-deps")
	}
	return install
}

// bindings generates the client over the one that was installed.
func (project pythonProject) bindings(ctx context.Context, dag *dagql.Server, deps *core.SchemaBuilder) ([]dagql.Selector, error) {
	schema, err := deps.SchemaIntrospectionJSONFileForModule(ctx)
	if err != nil {
		return nil, err
	}
	schemaID, err := schema.ID()
	if err != nil {
		return nil, err
	}
	generatorID, err := pythonGenerator(ctx, dag)
	if err != nil {
		return nil, err
	}
	return []dagql.Selector{
		pythonExec(project.install("--target", pythonCodegenDeps, pythonCodegenNeeds)...),
		pick("withMountedFile", "path", dagql.String(pythonSchemaPath), "source", dagql.NewID[*core.File](schemaID)),
		pick("withMountedDirectory", "path", dagql.String(pythonCodegenDir), "source", dagql.NewID[*core.Directory](generatorID)),
		pythonEnv("PYTHONPATH", pythonCodegenDir+":"+pythonCodegenDeps),
		pythonExec("python", "-c", pythonCodegen),
		pick("withoutEnvVariable", "name", dagql.String("PYTHONPATH")),
		pick("withoutMount", "path", dagql.String(pythonSchemaPath)),
		pick("withoutMount", "path", dagql.String(pythonCodegenDir)),
	}, nil
}

// pythonGenerator is a directory with the generator, as the Python package codegen.
func pythonGenerator(ctx context.Context, dag *dagql.Server) (*call.ID, error) {
	entries, err := pythonCodegenFiles.ReadDir("codegen")
	if err != nil {
		return nil, err
	}
	steps := []dagql.Selector{pick("directory")}
	for _, entry := range slices.Backward(entries) {
		name := path.Join("codegen", entry.Name())
		contents, err := pythonCodegenFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, pick("withNewFile", "path", dagql.String(name), "contents", dagql.String(contents)))
	}
	var generator dagql.ObjectResult[*core.Directory]
	if err := dag.Select(ctx, dag.Root(), &generator, steps...); err != nil {
		return nil, err
	}
	return generator.ID()
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
