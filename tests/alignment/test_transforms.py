"""Every transform against a direct computation, and the one form that they come down to."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from harness.alignment import affine as affine_module
from harness.alignment import spectrum
from harness.alignment import transforms as module
from harness.alignment.affine import IDENTITY, Affine
from harness.alignment.transforms import FirstComponent
from harness.components import build, parse_component
from harness.config.transform import (
    AllButTopConfig,
    CenterConfig,
    EmbedFilterConfig,
    FirstComponentConfig,
    NoTransformConfig,
)

CONF = Path(__file__).parents[2] / "conf"

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGS = {
    "none": NoTransformConfig(),
    "center": CenterConfig(),
    "all_but_top": AllButTopConfig(),
    "pc1": FirstComponentConfig(weight=-2.5),
    "embed_filter": EmbedFilterConfig(),
}


def embeddings(count=80, width=24, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.linspace(3, 0.5, width)
    return (rng.standard_normal((count, width)) * scales + rng.random(width)).astype(np.float32)


def orthonormal(rng, rows, width):
    return np.linalg.qr(rng.standard_normal((width, rows))).Q.T


def no_matrix():
    raise AssertionError("the matrix is not needed")


def fitted(config, vectors=None, matrix=None, **dependencies):
    transform = build(config, **dependencies)
    vectors = embeddings() if vectors is None else vectors
    transform.fit(vectors, no_matrix if matrix is None else lambda: matrix)
    return transform


class TestAffine:
    def test_by_hand(self):
        basis = np.array([[0.6, 0.8]])
        vectors = np.array([[6, 8], [4, -3], [0, 0]], np.float32)
        mean, shift = np.array([1, 2]), np.array([10, 20])
        cases = [
            (Affine(mean=mean), [[5, 6], [3, -5], [-1, -2]]),
            (Affine(shift=shift), [[16, 28], [14, 17], [10, 20]]),
            (Affine(basis=basis), [[0, 0], [4, -3], [0, 0]]),
            (Affine(basis=basis, keep=True), [[6, 8], [0, 0], [0, 0]]),
        ]
        for affine, expected in cases:
            found = affine.apply(vectors)
            np.testing.assert_allclose(found, expected, atol=1e-6)
            assert found.dtype == np.float32

    @settings(max_examples=40)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(0, 20),
        rank=st.integers(1, 6),
        keep=st.booleans(),
        block=st.sampled_from([1, 3, 16_384]),
    )
    def test_explicit_formula(self, seed, count, rank, keep, block):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((count, 6)).astype(np.float32)
        before = vectors.copy()
        mean, shift = rng.standard_normal((2, 6))
        basis = orthonormal(rng, rank, 6)
        inside = basis.T @ basis
        projection = inside if keep else np.eye(6) - inside
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(affine_module, "_BLOCK", block)
            found = Affine(mean=mean, basis=basis, keep=keep, shift=shift).apply(vectors)
        np.testing.assert_allclose(found, (vectors - mean) @ projection + shift, atol=1e-5)
        np.testing.assert_array_equal(vectors, before)

    @settings(max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 9), keep=st.booleans())
    def test_a_projection_twice_is_once(self, seed, rank, keep):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((15, 9)).astype(np.float32)
        basis = orthonormal(rng, rank, 9).astype(np.float32)
        affine = Affine(basis=basis, keep=keep)
        once = affine.apply(vectors)
        np.testing.assert_allclose(affine.apply(once), once, atol=1e-5)
        other = Affine(basis=basis, keep=not keep).apply(vectors)
        np.testing.assert_allclose(once + other, vectors, atol=1e-5)
        np.testing.assert_allclose(np.sum(once * other, axis=1), 0, atol=1e-4)
        if not keep:
            np.testing.assert_allclose(once @ basis.T, 0, atol=1e-5)

    def test_identity(self):
        vectors = embeddings()
        assert IDENTITY.apply(vectors) is vectors

    def test_flops_are_the_two_products(self):
        assert Affine(basis=np.eye(3, 5), shift=np.ones(5)).flops_per_text == 4 * 3 * 5
        assert Affine(mean=np.ones(5), shift=np.ones(5)).flops_per_text == 0
        assert IDENTITY.flops_per_text == 0


class TestTransforms:
    def test_none(self):
        vectors = embeddings()
        transform = build(NoTransformConfig())
        np.testing.assert_array_equal(transform.apply(vectors), vectors)  # before any fit, too
        transform.fit(vectors[:0], no_matrix)
        np.testing.assert_array_equal(transform.apply(vectors), vectors)
        assert transform.flops_per_text == 0
        assert transform.identity() == {}

    def test_center(self):
        vectors, queries = embeddings(), embeddings(5, seed=1)
        transform = fitted(CenterConfig(), vectors)
        expected = queries - vectors.mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(transform.apply(queries), expected, atol=1e-6)
        np.testing.assert_allclose(transform.apply(vectors).mean(axis=0), 0, atol=1e-5)
        assert transform.flops_per_text == 0

    @pytest.mark.parametrize("components", [1, 3, 23])
    def test_all_but_top_equals_scikit_learn(self, components):
        from sklearn.decomposition import PCA

        vectors, queries = embeddings(), embeddings(9, seed=1)
        transform = fitted(AllButTopConfig(components=components), vectors)
        pca = PCA(components, svd_solver="full").fit(vectors.astype(np.float64))
        expected = queries - pca.inverse_transform(pca.transform(queries.astype(np.float64)))
        np.testing.assert_allclose(transform.apply(queries), expected, atol=1e-4)
        assert transform.flops_per_text == 4 * components * 24

    @pytest.mark.parametrize(("width", "components"), [(24, 1), (160, 2), (384, 4)])
    def test_all_but_top_removes_a_hundredth_of_the_width(self, width, components):
        vectors = embeddings(40, width)
        found, stated = (
            fitted(config, vectors).apply(vectors)
            for config in (AllButTopConfig(), AllButTopConfig(components=components))
        )
        np.testing.assert_array_equal(found, stated)
        assert np.linalg.matrix_rank(found, tol=1e-3) == min(39, width) - components

    def test_first_component_with_a_weight(self):
        vectors, queries = embeddings(), embeddings(9, seed=1)
        transform = fitted(FirstComponentConfig(weight=-2.5), vectors)
        first = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[2][0]
        first *= np.sign((vectors @ first).mean())
        np.testing.assert_allclose(transform.apply(queries), queries - 2.5 * first, atol=1e-5)
        assert transform.flops_per_text == 0

    @pytest.mark.parametrize("sign", [1, -1])
    def test_an_estimated_weight_does_not_depend_on_the_sign_of_the_svd(self, sign, monkeypatch):
        vectors, reference = embeddings(), embeddings(seed=7)
        exact = spectrum._exact

        def flipped(*given):
            values, directions = exact(*given)
            return values, sign * directions

        monkeypatch.setattr(spectrum, "_exact", flipped)
        found = fitted(
            FirstComponentConfig(reference="x"), vectors, reference_vectors=lambda _: reference
        ).apply(vectors)
        first = sign * np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[2][0]
        moved = (reference.astype(np.float64) - vectors).mean(axis=0) @ first
        assert abs(moved) > 0.1
        np.testing.assert_allclose(found, vectors + moved * first, atol=1e-5)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_sign_is_not_oriented_away(self, sign, monkeypatch):
        """λu_1 is the same even where u_1 is given either sign: v_1 turns with it."""
        vectors, reference = embeddings(), embeddings(seed=7)
        leading = module.leading_directions

        def turned(*given, **settings):
            found = leading(*given, **settings)
            return spectrum.Spectrum(found.values, sign * found.directions, found.texts)

        config = FirstComponentConfig(reference="x")
        expected = fitted(config, vectors, reference_vectors=lambda _: reference).apply(vectors)
        monkeypatch.setattr(module, "leading_directions", turned)
        found = fitted(config, vectors, reference_vectors=lambda _: reference).apply(vectors)
        np.testing.assert_array_equal(found, expected)

    def test_a_reference_that_is_the_model_changes_nothing(self):
        vectors = embeddings()
        config = FirstComponentConfig(reference="x")
        transform = fitted(config, vectors, reference_vectors=lambda _: vectors)
        np.testing.assert_array_equal(transform.apply(vectors), vectors)

    @pytest.mark.parametrize(("drop", "keep"), [(1, None), (5, None), (5, 4), (3, 21), (23, 1)])
    def test_embed_filter_equals_numpy(self, drop, keep):
        matrix, queries = embeddings(200, seed=2), embeddings(9, seed=1)
        transform = fitted(EmbedFilterConfig(drop=drop, keep=keep), queries[:0], matrix)
        directions = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)[2]
        kept = directions[drop : None if keep is None else drop + keep]
        np.testing.assert_allclose(transform.apply(queries), queries @ kept.T @ kept, atol=1e-4)
        assert transform.flops_per_text == 4 * 24 * (drop if keep is None else keep)

    def test_embed_filter_gives_the_dot_products_of_the_published_filter(self):
        """The authors' code multiplies with Vh[128:128 + d/r] and stays in that smaller space."""
        matrix, queries = embeddings(300, 160, seed=2), embeddings(9, 160, seed=1)
        _, _, vh = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        published = queries @ vh[128 : 128 + 160 // 8].T
        found = fitted(EmbedFilterConfig(drop=128, keep=20), matrix=matrix).apply(queries)
        np.testing.assert_allclose(found @ found.T, published @ published.T, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize(("width", "drop"), [(24, 1), (64, 2), (384, 12)])
    def test_embed_filter_removes_a_32nd_of_the_width(self, width, drop):
        matrix, queries = embeddings(400, width, seed=2), embeddings(9, width)
        found, stated = (
            fitted(config, matrix=matrix).apply(queries)
            for config in (EmbedFilterConfig(), EmbedFilterConfig(drop=drop))
        )
        np.testing.assert_array_equal(found, stated)

    def test_embed_filter_of_the_width_of_mistral(self):
        assert module._share(4096, 32) == 128

    @pytest.mark.parametrize("kind", ["all_but_top", "embed_filter"])
    @settings(max_examples=15)
    @given(seed=st.integers(0, 2**32 - 1), removed=st.integers(1, 7))
    def test_what_is_removed_is_gone(self, kind, seed, removed):
        vectors = embeddings(30, 9, seed=seed)
        setting = {"all_but_top": "components", "embed_filter": "drop"}[kind]
        cls = type(CONFIGS[kind])
        transform = fitted(cls(**{setting: removed}), vectors, embeddings(50, 9, seed=1))
        found = transform.apply(vectors)
        assert np.linalg.matrix_rank(found, tol=1e-3) == 9 - removed

    @pytest.mark.parametrize("kind", CONFIGS)
    def test_what_all_share(self, kind):
        vectors, matrix = embeddings(), embeddings(50, seed=3)
        copies = vectors.copy(), matrix.copy()
        transform = fitted(CONFIGS[kind], vectors, matrix)
        found = transform.apply(vectors)
        assert found.dtype == np.float32
        assert found.shape == vectors.shape
        assert transform.apply(vectors[:0]).shape == (0, 24)
        np.testing.assert_array_equal(vectors, copies[0])
        np.testing.assert_array_equal(matrix, copies[1])
        np.testing.assert_array_equal(fitted(CONFIGS[kind], vectors, matrix).apply(vectors), found)
        assert transform.needs_corpus == (kind in ("center", "all_but_top", "pc1"))
        assert transform.needs_matrix == (kind == "embed_filter")
        identity = transform.identity()
        assert json.loads(json.dumps(identity)) == identity
        assert identity.get("transform", {"kind": "none"})["kind"] == kind

    def test_a_fit_replaces_the_one_before(self):
        transform = fitted(CenterConfig(), embeddings())
        transform.fit(embeddings(seed=1), no_matrix)
        expected = fitted(CenterConfig(), embeddings(seed=1))
        np.testing.assert_array_equal(transform.apply(embeddings()), expected.apply(embeddings()))

    @pytest.mark.parametrize("kind", sorted(set(CONFIGS) - {"none"}))
    def test_before_a_fit(self, kind):
        transform = build(CONFIGS[kind])
        for action in (lambda: transform.apply(embeddings()), lambda: transform.flops_per_text):
            with pytest.raises(RuntimeError, match="fit the transform"):
                action()

    def test_identity_tells_settings_and_references_apart(self):
        transforms = [
            build(FirstComponentConfig(weight=-50)),
            build(FirstComponentConfig(weight=-48)),
            build(FirstComponentConfig(reference="a")),
            build(FirstComponentConfig(reference="a"), reference_space={"weights": "1"}),
            build(FirstComponentConfig(reference="a"), reference_space={"weights": "2"}),
        ]
        assert len({json.dumps(transform.identity()) for transform in transforms}) == 5
        elsewhere = build(FirstComponentConfig(reference="b"), reference_space={"weights": "1"})
        assert elsewhere.identity() == transforms[3].identity()


class TestRefusals:
    @pytest.mark.parametrize("kind", ["center", "all_but_top", "pc1"])
    def test_an_empty_corpus(self, kind, refusal):
        message = refusal(lambda: fitted(CONFIGS[kind], np.zeros((0, 24), np.float32)))
        assert message == (
            f"transform={kind} cannot be fitted on an empty corpus; use transform=none"
        )

    @pytest.mark.parametrize(
        ("config", "vectors", "expected"),
        [
            (
                AllButTopConfig(components=24),
                embeddings(),
                "transform.components=24 leaves nothing of embeddings that are 24 wide; give less "
                "than 24",
            ),
            (
                AllButTopConfig(components=5),
                embeddings(5),
                "transform.components=5 needs more than 5 documents, the corpus has 5; give "
                "fewer, or use transform=center",
            ),
            (
                AllButTopConfig(),
                embeddings(1),
                "transform.components=1 needs more than 1 documents, the corpus has 1; give "
                "fewer, or use transform=center",
            ),
        ],
    )
    def test_too_many_components(self, config, vectors, expected, refusal):
        assert refusal(lambda: fitted(config, vectors)) == expected

    @pytest.mark.parametrize(
        ("settings", "rows", "expected"),
        [
            (
                {"drop": 24},
                50,
                "transform.drop=24 leaves nothing of a head's matrix with 24 directions; give "
                "less than 24",
            ),
            (
                {"drop": 10},
                10,
                "transform.drop=10 leaves nothing of a head's matrix with 10 directions; give "
                "less than 10",
            ),
            (
                {"drop": 20, "keep": 5},
                50,
                "transform.keep=5 is more than the 4 directions that transform.drop=20 leaves; "
                "give 4 or less",
            ),
        ],
    )
    def test_too_many_directions(self, settings, rows, expected, refusal):
        config = EmbedFilterConfig(**settings)
        assert refusal(lambda: fitted(config, matrix=embeddings(rows))) == expected

    def test_a_reference_of_another_width(self, refusal):
        message = refusal(
            lambda: fitted(
                FirstComponentConfig(reference="/models/other"),
                reference_vectors=lambda _: embeddings(width=16),
            )
        )
        assert message == (
            "transform.reference=/models/other: its embeddings are 16 wide and the model's are 24; "
            "name an embedder that was trained from the same backbone"
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_reference_that_is_not_finite(self, value, refusal):
        reference = embeddings()
        reference[3] = value
        message = refusal(
            lambda: fitted(
                FirstComponentConfig(reference="/models/other"),
                reference_vectors=lambda _: reference,
            )
        )
        assert message.startswith("transform.reference=/models/other: λ is ")
        assert message.endswith(
            ", because its embeddings are not finite; name another embedder, or give "
            "transform.weight"
        )

    def test_a_matrix_that_is_not_finite(self, refusal):
        matrix = embeddings()
        matrix[0, 0] = np.nan
        message = refusal(lambda: fitted(EmbedFilterConfig(), matrix=matrix))
        assert "check the weights" in message

    def test_a_reference_without_vectors_is_an_error_of_ours(self):
        with pytest.raises(RuntimeError, match="reference's vectors"):
            fitted(FirstComponentConfig(reference="x"))


class TestConfig:
    @pytest.mark.parametrize("kind", CONFIGS)
    def test_files_state_every_setting_with_its_default(self, kind):
        path = CONF / "transform" / f"{kind}.yaml"
        assert path.read_text().startswith("# ")
        mapping = OmegaConf.load(path)
        given = {"weight": -2.5} if kind == "pc1" else {}
        assert all(mapping[name] is None for name in given)
        parsed = parse_component("transform", OmegaConf.merge(mapping, given), where="transform")
        assert parsed == CONFIGS[kind]
        assert set(mapping) == set(vars(parsed))

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            (
                {"kind": "whiten"},
                "transform.kind='whiten' is unknown; choose one of: "
                "none, center, all_but_top, pc1, embed_filter",
            ),
            (
                {"kind": "pc1"},
                "transform.weight is not set: give transform.weight=λ, or "
                "transform.reference=EMBEDDER to estimate it",
            ),
            (
                {"kind": "pc1", "weight": 0, "reference": "x"},
                "transform.weight=0.0 is not estimated from transform.reference=x; give one of "
                "the two",
            ),
            (
                {"kind": "pc1", "weight": float("nan")},
                "transform.weight=nan must be a finite number",
            ),
            (
                {"kind": "pc1", "weight": float("-inf")},
                "transform.weight=-inf must be a finite number",
            ),
            (
                {"kind": "all_but_top", "components": 0},
                "transform.components=0 must be at least 1",
            ),
            ({"kind": "embed_filter", "drop": 0}, "transform.drop=0 must be at least 1"),
            ({"kind": "embed_filter", "keep": -1}, "transform.keep=-1 must be at least 1"),
        ],
    )
    def test_bad_values(self, settings, expected, refusal):
        assert (
            refusal(lambda: parse_component("transform", settings, where="transform")) == expected
        )

    def test_a_weight_of_nought_is_given(self):
        transform = fitted(FirstComponentConfig(weight=0))
        assert isinstance(transform, FirstComponent)
        np.testing.assert_array_equal(transform.apply(embeddings()), embeddings())
